package proatm

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"vestnik/internal/code"
)

// A reason why a document is refused: for the log and for the terminal.
type reason struct{ en, ru string }

var (
	notUTF8        = reason{"not UTF-8", "байты не в кодировке UTF-8"}
	notChar        = reason{"character that XML does not allow", "символ, недопустимый в XML"}
	noDeclVersion  = reason{"XML declaration without version='1.0'", "в объявлении XML нет version='1.0'"}
	badDeclaration = reason{"malformed XML declaration", "неверное объявление XML"}
	otherEncoding  = reason{"declared encoding is not UTF-8", "объявлена кодировка, отличная от UTF-8"}
	lateDecl       = reason{"XML declaration is not at the start", "объявление XML не в начале сообщения"}
	instruction    = reason{"processing instruction", "инструкция обработки"}
	documentType   = reason{"document type declaration", "объявление типа документа (DTD)"}
	badMarkup      = reason{"unknown markup", "неизвестная разметка"}
	noRoot         = reason{"no root element", "нет корневого элемента"}
	secondRoot     = reason{"second root element", "второй корневой элемент"}
	outsideRoot    = reason{"text outside the root element", "текст вне корневого элемента"}
	notClosed      = reason{"element not closed", "элемент не закрыт"}
	wrongClose     = reason{"closing tag does not match", "закрывающий тег не соответствует открывающему"}
	badTag         = reason{"malformed tag", "неверная запись тега"}
	noName         = reason{"name expected", "ожидается имя"}
	noEquals       = reason{"attribute without a value", "атрибут без значения"}
	noQuote        = reason{"attribute value without quotes", "значение атрибута без кавычек"}
	openValue      = reason{"attribute value not terminated", "значение атрибута не завершено"}
	lessInValue    = reason{"'<' in an attribute value", "знак '<' в значении атрибута"}
	noBlank        = reason{"no blank between attributes", "нет пробела между атрибутами"}
	doubled        = reason{"duplicate attribute", "повторный атрибут"}
	tooMany        = reason{"too many attributes", "слишком много атрибутов"}
	tooDeep        = reason{"too deep", "слишком большая вложенность элементов"}
	bareAmpersand  = reason{"'&' that begins no reference", "знак '&' не начинает ссылку"}
	unknownEntity  = reason{"unknown entity", "неизвестная сущность"}
	badReference   = reason{"reference to a character that XML does not allow", "ссылка на символ, недопустимый в XML"}
	openComment    = reason{"comment not terminated", "комментарий не завершён"}
	dashComment    = reason{"'--' inside a comment", "знаки '--' внутри комментария"}
	openCDATA      = reason{"CDATA section not terminated", "секция CDATA не завершена"}
	cdataEnd       = reason{"']]>' in text", "знаки ']]>' в тексте"}
	childOfEvent   = reason{"element inside <event>", "элемент внутри <event>"}
	textInEvent    = reason{"text inside <event>", "текст внутри <event>"}
	curlyQuote     = reason{"typographic quote", "типографская кавычка вместо прямой (' или \")"}
	misplaced      = reason{"element that may not stand there", "здесь недопустим элемент"}
)

// fail is code 3 at an offset. what is the piece of input that is meant, or "".
func (s *scanner) fail(at int, why reason, what string) error {
	line, column := position(s.src, at)
	detail := fmt.Sprintf("%d:%d: %s", line, column, why.en)
	text := fmt.Sprintf("Ошибка XML (строка %d, позиция %d): %s", line, column, why.ru)
	if what != "" {
		detail += fmt.Sprintf(" %q", cut(what))
		text += " «" + shown(what) + "»"
	}
	return &code.Error{Code: code.Malformed, Detail: detail, Description: text}
}

// position counts lines and characters from 1, as an editor shows them.
func position(src string, at int) (line, column int) {
	src = strings.TrimPrefix(src[:at], byteOrderMark)
	line = 1 + strings.Count(src, "\n") + strings.Count(src, "\r") - strings.Count(src, "\r\n")
	return line, 1 + utf8.RuneCountInString(src[1+strings.LastIndexAny(src, "\r\n"):])
}

func cut(s string) string { return code.Cut(s) }

func shown(s string) string { return code.Shown(s) }
