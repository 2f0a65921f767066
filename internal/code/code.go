// Package code is the one table of result codes that a terminal, a monitoring
// system or an operator can meet (SPEC 1). docs/codes.md prints the same table;
// a test holds the two together.
package code

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Code is the attribute code of <result> and <command_result>.
type Code int

// The codes of SPEC 1. 111, 121, 145 and 151 are the terminal application's
// own (manual, GET_DEVICE_INFO); they pass through and stand here only to be explained.
const (
	OK               Code = 0
	UnknownSignature Code = 1
	BadSize          Code = 2 // size 0, truncated or timed out
	Malformed        Code = 3 // not well-formed, not UTF-8, or an element where none may be
	UnknownRoot      Code = 4
	MissingAttribute Code = 5 // mandatory attribute missing, or atm not a number
	NotStored        Code = 6 // disk full, broker down: send again
	Paused           Code = 7
	Overloaded       Code = 8

	UnknownCommand   Code = 101
	OtherTerminal    Code = 102
	MissingParameter Code = 103
	NoApplication    Code = 104
	ApplicationSlow  Code = 105
	NotPermitted     Code = 106
	BadAnswer        Code = 107
	AnswerTooLong    Code = 108
	OutcomeUnknown   Code = 109

	NoDeviceInfo    Code = 111
	InfoUnavailable Code = 121
	NoVersions      Code = 145
	UnknownDevice   Code = 151
)

// An Entry is a row of the table.
type Entry struct {
	Code        Code
	Meaning     string // English: logs, CLI, docs
	Description string // Russian: what the terminal is told, never empty
}

// Table lists every code, in order.
var Table = []Entry{
	{OK, "done", "Сообщение доставлено"},
	{UnknownSignature, "unknown signature", "Неизвестная сигнатура системы мониторинга"},
	{BadSize, "bad size, truncated or timed out", "Неверный размер сообщения, либо сообщение получено не полностью"},
	{Malformed, "not well-formed or not UTF-8, or an element where none may be", "Сообщение не является правильным XML в кодировке UTF-8"},
	{UnknownRoot, "unknown root element", "Неизвестный корневой элемент сообщения"},
	{MissingAttribute, "mandatory attribute missing, or atm not a number", "Отсутствует обязательный атрибут, либо atm не является числом"},
	{NotStored, "not stored: send again", "Событие не сохранено, повторите отправку"},
	{Paused, "paused", "Работа агента приостановлена, повторите отправку позже"},
	{Overloaded, "overloaded", "Агент перегружен, повторите отправку позже"},
	{UnknownCommand, "unknown command", "Неизвестная команда"},
	{OtherTerminal, "other terminal's number", "Команда предназначена другому терминалу"},
	{MissingParameter, "parameter missing", "Отсутствует обязательный параметр команды"},
	{NoApplication, "terminal application not reachable", "Нет связи с терминальным ПО"},
	{ApplicationSlow, "terminal application timed out", "Терминальное ПО не ответило вовремя"},
	{NotPermitted, "not permitted", "Команда не разрешена"},
	{BadAnswer, "malformed answer from the terminal application", "Неверный ответ терминального ПО"},
	{AnswerTooLong, "answer too long for a frame", "Ответ не помещается в сообщение, запросите меньше за один раз"},
	{OutcomeUnknown, "outcome unknown: the edge restarted while the command ran", "Результат команды неизвестен: агент был перезапущен во время её выполнения, проверьте состояние терминала"},
	{NoDeviceInfo, "no information on software and hardware", "Информация о версиях ПО и оборудовании УС недоступна"},
	{InfoUnavailable, "no information on this device", "Информация об устройстве недоступна"},
	{NoVersions, "software versions not available", "Не удалось получить информацию о версиях ПО"},
	{UnknownDevice, "unknown device", "Неизвестное устройство"},
}

func (c Code) entry() Entry {
	for _, e := range Table {
		if e.Code == c {
			return e
		}
	}
	return Entry{c, "code " + strconv.Itoa(int(c)), "Код " + strconv.Itoa(int(c))}
}

// String is the English meaning.
func (c Code) String() string { return c.entry().Meaning }

// Description is the Russian text for the terminal; never empty (SPEC 1).
func (c Code) Description() string { return c.entry().Description }

// Status is ok for 0, warning for 7 and 8, error for the rest (SPEC 1).
func (c Code) Status() string {
	switch c {
	case OK:
		return "ok"
	case Paused, Overloaded:
		return "warning"
	}
	return "error"
}

// An Error carries the code to answer with and what is wrong, in English for
// the log and in Russian for the terminal.
type Error struct {
	Code        Code
	Detail      string // English, for the log; may be empty
	Description string // Russian; empty = the table's
}

// New is an error with the table's description and an English detail.
func New(c Code, detail string) *Error { return &Error{Code: c, Detail: detail} }

func (e *Error) Error() string {
	if e.Detail == "" {
		return e.Code.String()
	}
	return e.Code.String() + ": " + e.Detail
}

// Text is the Russian description to answer with.
func (e *Error) Text() string {
	if e.Description != "" {
		return e.Description
	}
	return e.Code.Description()
}

// maxQuoted is how much of the input a message repeats, in bytes.
const maxQuoted = 64

// Cut is what an error repeats of the input: its beginning.
func Cut(s string) string {
	if len(s) <= maxQuoted {
		return s
	}
	n := maxQuoted
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

// Shown is what a description repeats of the input: cut, and without what could
// control the screen that shows it.
func Shown(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '\uFFFD'
	}, Cut(s))
}
