package httpclient

import "strconv"

type request struct {
	method      string
	mark        Mark
	query       []byte
	contentType string
	body        []byte
}

// append writes the whole request behind dst.
func (r *request) append(dst []byte, b *base) []byte {
	dst = append(append(dst, r.method...), ' ')
	dst = append(dst, b.target...)
	if len(r.query) > 0 {
		dst = append(append(dst, b.sep...), r.query...)
	}
	dst = append(append(dst, " HTTP/1.1\r\n"...), b.header...)
	dst = appendHeader(dst, "Ce-Id: ", r.mark.ID)
	dst = appendHeader(dst, "Ce-Replay: ", r.mark.Replay)
	if r.method == "POST" {
		dst = append(append(dst, "Content-Type: "...), r.contentType...)
		dst = strconv.AppendInt(append(dst, "\r\nContent-Length: "...), int64(len(r.body)), 10)
		dst = append(dst, "\r\n"...)
	}
	dst = append(dst, "\r\n"...)
	return append(dst, r.body...)
}

// appendHeader writes a header, unless its value is empty.
func appendHeader(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	return append(appendHeaderValue(append(dst, name...), value), "\r\n"...)
}

// appendHeaderValue percent-encodes as the CloudEvents HTTP binding says (3.1.3.2).
func appendHeaderValue(dst []byte, s string) []byte {
	const upper = "0123456789ABCDEF"
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= ' ' || c == '"' || c == '%' || c > '~' {
			dst = append(dst, '%', upper[c>>4], upper[c&15])
		} else {
			dst = append(dst, c)
		}
	}
	return dst
}
