package simulate

import (
	"bytes"
	"slices"
	"strconv"
	"unicode/utf8"

	"vestnik/internal/code"
	"vestnik/internal/frame"
)

// An answer to a message, before it has its bytes.
type answer struct {
	code    code.Code
	text    string
	replies []reply
}

// failure is the answer to a message that failed as a whole; text "" is the table's.
func failure(c code.Code, text string) answer {
	if text == "" {
		text = c.Description()
	}
	return answer{code: c, text: text}
}

const answerEnd = "</monitoring>\n"

// appendAnswer writes an answer as the manual's examples have it: in single quotes,
// an element to a line. It is written without package proatm, whose readers it tests.
func appendAnswer(b []byte, atm string, a answer) []byte {
	b = append(b, "<?xml version='1.0' encoding='UTF-8'?>\n<monitoring"...)
	if atm != "" {
		b = appendAttr(b, "atm", atm)
	}
	b = appendHead(append(b, ">\n    <result"...), a.code, a.text)
	b = append(b, "/>\n"...)
	for _, r := range a.replies {
		b = appendReply(b, r)
	}
	return append(b, answerEnd...)
}

func appendReply(b []byte, r reply) []byte {
	b = appendHead(append(b, "    <command_result"...), r.code, r.text)
	b = appendAttr(b, "id", r.id)
	if r.param != nil {
		b = appendAttr(b, "param", *r.param)
	}
	if r.inner == "" {
		return append(b, "/>\n"...)
	}
	b = append(append(b, ">\n"...), r.inner...)
	return append(b, "\n    </command_result>\n"...)
}

func appendHead(b []byte, c code.Code, text string) []byte {
	status := "error"
	if c == code.OK {
		status = "ok"
	}
	b = appendAttr(b, "code", strconv.Itoa(int(c)))
	b = appendAttr(b, "status", status)
	b = appendAttr(b, "source", "ProATM")
	return appendAttr(b, "description", text)
}

func appendAttr(b []byte, name, value string) []byte {
	b = append(append(append(b, ' '), name...), "='"...)
	for _, r := range value {
		switch {
		case r == '&' || r == '<' || r == '>' || r == '\'' || r == '"' || r < ' ':
			b = append(strconv.AppendInt(append(b, "&#"...), int64(r), 10), ';')
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '\'')
}

// answerFrame is the frame of an answer, with the fault that it is to have. An answer
// that is too long for a frame becomes code 108.
func answerFrame(order frame.Order, signature string, m taken) ([]byte, error) {
	a := m.answer
	switch m.fault {
	case AnswerWrongID:
		a.replies = slices.Clone(a.replies)
		for i := range a.replies {
			a.replies[i].id += "0"
		}
	case AnswerFew:
		a.replies = a.replies[:max(0, len(a.replies)-1)]
	case AnswerSignature:
		signature = "?" + signature[:frame.SignatureSize-1]
	}
	body := appendAnswer(make([]byte, 0, 512), m.atm, a)
	if len(body) > frame.MaxBody {
		body = appendAnswer(nil, m.atm, failure(code.AnswerTooLong, ""))
	}
	switch m.fault {
	case AnswerMalformed:
		body = []byte("Терминал временно недоступен & ничего не ответит")
	case AnswerTruncated:
		body = body[:len(body)/2]
	case AnswerBig:
		body = swell(body, frame.MaxBody)
	}
	b, err := frame.Append(make([]byte, 0, frame.HeaderSize+len(body)), order, signature, body)
	if m.fault == AnswerCut {
		b = b[:len(b)/2]
	}
	return b, err
}

// swell makes an answer as long as size says: by an element that nobody knows, inside
// the last command_result where there is one.
func swell(body []byte, size int) []byte {
	const begin, end = "<filler>", "</filler>"
	at := bytes.LastIndex(body, []byte("\n    </command_result>"))
	fill := size - len(body) - len(begin) - len(end)
	if fill < 0 {
		return body
	}
	if at < 0 { // nothing to put it into
		return slices.Concat(body, bytes.Repeat([]byte(" "), size-len(body)))
	}
	return slices.Concat(body[:at], []byte(begin), bytes.Repeat([]byte("x"), fill), []byte(end), body[at:])
}
