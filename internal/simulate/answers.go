package simulate

import (
	"embed"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

//go:embed answers
var answerFiles embed.FS

// answers are the elements inside command_results, by file name without its ending:
// the manual's examples made well-formed, value by value (SPEC 7); where it has none,
// others in their manner. Safe for concurrent use: nobody changes the map.
var answers = sync.OnceValue(func() map[string]string {
	files, err := answerFiles.ReadDir("answers")
	if err != nil {
		panic(fmt.Sprintf("embedded answers: %v", err)) // a test reads them
	}
	all := map[string]string{}
	for _, f := range files {
		text, err := answerFiles.ReadFile(path.Join("answers", f.Name()))
		if err != nil {
			panic(fmt.Sprintf("embedded answers: %v", err))
		}
		clean := strings.TrimRight(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n")
		all[strings.TrimSuffix(f.Name(), ".xml")] = clean
	}
	return all
})

// services are the terminal's devices: CEN/XFS class, logical names of its services.
var services = map[string][]string{
	"SIU": {"SIU1"},
	"PIN": {"EPP1"},
	"PRR": {"ReceiptPrinter1"},
	"PRJ": {"JournalPrinter1"},
	"CDM": {"CurrencyDispenser1"},
	"IDC": {"IDCardUnit1"},
	"CIM": {"CashCode2", "CashCode1"}, // the first answers for the class
}

// device finds what a parameter names, a class or class.service; missing are
// devices that the terminal does not have. service is set whenever ok is.
func device(param string, missing []string) (class, service string, ok bool) {
	class, service, named := strings.Cut(param, ".")
	list := services[class]
	if list == nil || slices.Contains(missing, class) {
		return class, service, false
	}
	here := func(s string) bool { return !slices.Contains(missing, class+"."+s) }
	if named {
		return class, service, slices.Contains(list, service) && here(service)
	}
	if i := slices.IndexFunc(list, here); i >= 0 {
		return class, list[i], true
	}
	return class, "", false
}

// hardware is the <device> of a service; "" where the manual has no information on
// its class.
func hardware(class, service string) string {
	return answers()["hardware_"+strings.ToLower(class+"_"+service)]
}

// hardwareInfo is the <hardware_info> of all devices that there is information on.
func hardwareInfo(missing []string) string {
	var all []string
	for _, class := range []string{"CIM", "PIN"} {
		for _, s := range slices.Sorted(slices.Values(services[class])) {
			if _, _, ok := device(class+"."+s, missing); ok {
				all = append(all, hardware(class, s))
			}
		}
	}
	if len(all) == 0 {
		return ""
	}
	return within("hardware_info", strings.Join(all, "\n"))
}

func within(element, inner string) string {
	return "<" + element + ">\n" + inner + "\n</" + element + ">"
}

// noteTypes are the manual's, of the device that was asked for.
func noteTypes(param string) string {
	return strings.Replace(answers()["note_types"], `"CIM.CashCode2"`, `"`+param+`"`, 1)
}

var (
	cdmUnitPattern = regexp.MustCompile(`(?s)<CdmCashUnitInfo>.*?</CdmCashUnitInfo>`)
	cimUnitPattern = regexp.MustCompile(`(?s)<CimCashUnitInfo>.*?</CimCashUnitInfo>`)
	countPattern   = regexp.MustCompile(`<ulCount>([0-9]+)</ulCount>`)
	minimumPattern = regexp.MustCompile(`<ulMinimum>([0-9]+)</ulMinimum>`)
)

const billCassette = "<usType>WFS_CDM_TYPEBILLCASSETTE</usType>"

// cdmUnits are the dispenser's cash units after taken notes went out, one cassette
// after the other; left is how many notes the cassettes still hold.
func cdmUnits(taken int) (list string, left int) {
	list = cdmUnitPattern.ReplaceAllStringFunc(answers()["cash_units_cdm"], func(unit string) string {
		if !strings.Contains(unit, billCassette) {
			return unit
		}
		had := numberIn(countPattern, unit)
		out := min(taken, had)
		taken -= out
		left += had - out
		return dispensed(unit, had-out, out)
	})
	return list, left
}

// dispensed is a cash unit that holds left notes after out went out of it.
func dispensed(unit string, left, out int) string {
	if out == 0 {
		return unit
	}
	status := "WFS_CDM_STATCUOK"
	switch {
	case left == 0:
		status = "WFS_CDM_STATCUEMPTY"
	case left <= numberIn(minimumPattern, unit):
		status = "WFS_CDM_STATCULOW"
	}
	unit = countPattern.ReplaceAllLiteralString(unit, fmt.Sprintf("<ulCount>%d</ulCount>", left))
	return strings.NewReplacer("WFS_CDM_STATCUOK", status,
		"<ulDispensedCount>0<", fmt.Sprintf("<ulDispensedCount>%d<", out),
		"<ulPresentedCount>0<", fmt.Sprintf("<ulPresentedCount>%d<", out)).Replace(unit)
}

func numberIn(p *regexp.Regexp, text string) int {
	m := p.FindStringSubmatch(text)
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(m[1])
	return n
}
