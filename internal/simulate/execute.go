package simulate

import (
	"slices"
	"strings"

	"vestnik/internal/code"
	"vestnik/internal/command"
)

// Codes of the application's own for what the manual gives no number: "otherwise an
// error has occurred". The edge passes them on.
const (
	codeNotSupported  code.Code = 152 // RESET of a device that has none
	codeResetFailed   code.Code = 153
	codeRebootRunning code.Code = 154
	codeRebootFailed  code.Code = 155
)

// A reply is one command_result.
type reply struct {
	code  code.Code
	text  string
	id    string
	param *string // nil = the result has none
	inner string  // the elements inside, "" = none
}

// A note is an event that follows an answer: a template, and its own macros.
type note struct {
	template string
	set      map[string]string
}

// follow is what follows an answer.
type follow struct {
	notes   []note
	courses []course
}

func (f *follow) note(template string, set map[string]string) {
	f.notes = append(f.notes, note{template, set})
}

func commandID(id string) map[string]string { return map[string]string{"COMMAND_ID": id} }

// execute carries out a command and gives its results, one per parameter; mu is held.
// SPEC 7: names are exact; the blanks around them are gone already.
func (a *Application) execute(u *unit, c command.Command, after *follow) []reply {
	one := reply{id: c.ID}
	switch {
	case !command.Known(c.Name):
		return a.perParam(c, one.fail(code.UnknownCommand))
	case c.Check() != nil:
		return a.perParam(c, one.fail(code.MissingParameter))
	}
	switch c.Name {
	case command.Reboot:
		return a.perParam(c, a.executeReboot(u, one, after))
	case command.GoInService:
		after.courses = append(after.courses, a.goTo(u, c.Name, StateWaiting))
		return a.perParam(c, one.ok("Терминал будет переведен в состояние обслуживания клиента"))
	case command.GoOutOfService:
		after.courses = append(after.courses, a.goTo(u, c.Name, StateOutOfService))
		return a.perParam(c, one.ok("Терминал будет переведен в состояние не обслуживает"))
	case command.GetDeviceInfo:
		if len(c.Params) == 0 {
			one.param = new(string) // SPEC 7: param=''
			return []reply{a.fullInfo(one)}
		}
	}
	var list []reply
	for _, p := range c.Params {
		one.param = &p.Value
		list = append(list, a.executeOne(u, c.Name, strings.TrimSpace(p.Value), one, after))
	}
	return list
}

// perParam repeats the result of a command whose parameters mean nothing.
func (a *Application) perParam(c command.Command, r reply) []reply {
	if len(c.Params) == 0 {
		return []reply{r}
	}
	var list []reply
	for _, p := range c.Params {
		r.param = &p.Value
		list = append(list, r)
	}
	return list
}

// executeOne carries out a command for one of its parameters.
func (a *Application) executeOne(u *unit, name, param string, r reply, after *follow) reply {
	switch {
	case name == command.GetStatus && strings.EqualFold(param, "proatm"):
		return r.ok("Статус устройства").with(a.versions())
	case name == command.GetDeviceInfo && param == "software":
		if a.behaviour.NoVersions {
			return r.fail(code.NoVersions)
		}
		return r.ok("Информация о версиях ПО").with(answers()["software"])
	}
	class, service, ok := device(param, a.behaviour.Missing)
	if name == command.Reset {
		return a.executeReset(u, class, ok, r, after)
	}
	if !ok {
		return r.fail(code.UnknownDevice)
	}
	switch name {
	case command.GetStatus:
		return r.ok("Статус устройства").with(answers()["status_"+strings.ToLower(class)])
	case command.GetCashUnitInfo:
		return a.cashUnits(u, class, r, after)
	case command.GetCIMNoteTypes:
		if class != "CIM" {
			return r.fail(code.InfoUnavailable)
		}
		return r.ok("CimNoteTypes").with(noteTypes(param))
	}
	info := hardware(class, service)
	if info == "" || a.behaviour.NoDeviceInfo {
		return r.fail(code.InfoUnavailable)
	}
	return r.ok("Информация об устройстве").with(within("hardware_info", info))
}

// versions is the status of ProATM itself.
func (a *Application) versions() string {
	if a.behaviour.NoVersions {
		return answers()["status_proatm_unknown"]
	}
	return answers()["status_proatm"]
}

// fullInfo is GET_DEVICE_INFO without parameters.
func (a *Application) fullInfo(r reply) reply {
	var parts []string
	if !a.behaviour.NoVersions {
		parts = append(parts, answers()["software"])
	}
	if info := hardwareInfo(a.behaviour.Missing); info != "" && !a.behaviour.NoDeviceInfo {
		parts = append(parts, info)
	}
	if len(parts) == 0 {
		return r.fail(code.NoDeviceInfo)
	}
	return r.ok("Информация о версиях ПО и оборудовании УС").with(strings.Join(parts, "\n"))
}

// executeReboot: synchronous for an idle terminal, which reboots after the answer;
// else it waits for the client to go.
func (a *Application) executeReboot(u *unit, r reply, after *follow) reply {
	switch {
	case u.rebooting:
		after.note("reboot-already-running", commandID(r.id))
		return r.error(codeRebootRunning, "Перезагрузка уже выполняется. Команда не будет выполнена")
	case a.behaviour.RebootFails:
		after.note("reboot-failed", commandID(r.id))
		return r.error(codeRebootFailed, "Не удалось запустить перезагрузку терминала")
	}
	u.rebooting = true
	after.courses = append(after.courses, a.reboot(u, r.id))
	if u.state.idle() {
		return r.ok("Терминал перезагружается")
	}
	return r.ok("Терминал будет перезагружен после перехода в нужное состояние")
}

// executeReset: the event comes whether it was synchronous or not (manual, note 1 to
// table 2).
func (a *Application) executeReset(u *unit, class string, ok bool, r reply, after *follow) reply {
	set := commandID(r.id)
	set["DEVICE"] = class
	var template string
	switch {
	case !ok:
		set["DEVICE"] = "0" // no device of the terminal's
		template, r = "reset-unknown-device", r.fail(code.UnknownDevice)
	case class == "SIU":
		template, r = "reset-not-supported", r.error(codeNotSupported, "Устройство не поддерживает команду Reset")
	case slices.Contains(a.behaviour.ResetFails, class):
		template, r = "reset-failed", r.error(codeResetFailed, "При выполнении команды Reset произошла ошибка")
	default:
		template, r = "reset-done", r.ok("Состояние устройства было сброшено")
	}
	if u.state.idle() || !ok {
		after.note(template, set)
		return r
	}
	after.courses = append(after.courses, a.whenIdle(u, command.Reset, func() { a.tell(u, template, set) }))
	return r.ok("Состояние устройства будет сброшено после перехода терминала в нужное состояние")
}

// cashUnits is the result of GET_CASH_UNIT_INFO, which an asynchronous one tells as events.
func (a *Application) cashUnits(u *unit, class string, r reply, after *follow) reply {
	if class != "CIM" && class != "CDM" {
		return r.fail(code.InfoUnavailable)
	}
	if u.state.idle() {
		return r.ok("CashUnitInfo").with(u.cashUnits(class))
	}
	after.courses = append(after.courses, a.whenIdle(u, command.GetCashUnitInfo, func() {
		a.tellCashUnits(u, class, func(string) bool { return true })
		a.tellCommand(u, "Команда GET_CASH_UNIT_INFO выполнена")
	}))
	return r.ok("Информация о состоянии кассет будет получена после перехода терминала в нужное состояние")
}

func (u *unit) cashUnits(class string) string {
	if class == "CDM" {
		return u.cdm
	}
	return answers()["cash_units_cim"]
}

func (r reply) ok(text string) reply { return r.error(code.OK, text) }

func (r reply) fail(c code.Code) reply { return r.error(c, c.Description()) }

func (r reply) error(c code.Code, text string) reply {
	r.code, r.text = c, text
	return r
}

func (r reply) with(inner string) reply {
	r.inner = inner
	return r
}
