package scrub

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/minio/highwayhash"
)

// A record in a block file of nats-server 2.15: length (4 bytes, the highest bit:
// has headers), sequence (8, the two highest bits: erased, tombstone), time (8),
// length of the subject (2), subject, length of the headers (4, if any), headers, body,
// checksum (8) of all but the lengths.
const (
	headSize   = 22
	sumSize    = 8
	minRecord  = headSize + sumSize
	maxRecord  = 32 << 20
	headersBit = 1 << 31
	erasedBit  = 1 << 63
	tombBit    = 1 << 62
)

var le = binary.LittleEndian

// record is one that is as it was written.
type record struct {
	size int
	seq  uint64
	tomb bool // says that message seq was removed
	dead bool // has been erased

	healed bool // one flipped bit has been put right
}

// codec reads the records of one block. Not for concurrent use.
type codec struct {
	hash   *highwayhash.Digest64
	strict bool // bodies without headers are JSON lists or objects
	sum    [sumSize]byte
}

// newCodec is keyed by stream and block, as the server's checksums are.
func newCodec(stream string, block uint32) (*codec, error) {
	key := sha256.Sum256(fmt.Appendf(nil, "%s-%d", stream, block))
	h, err := highwayhash.NewDigest64(key[:])
	if err != nil {
		return nil, fmt.Errorf("checksum: %w", err)
	}
	return &codec{hash: h, strict: jsonOnly[stream]}, nil
}

// jsonOnly are streams of ours that hold messages without headers.
var jsonOnly = map[string]bool{"DONE": true, "AUDIT": true, "KV_CONTROL": true, "KV_COMMANDS": true}

// parse reads the record at the beginning of buf; false if there is none, or it
// is not as it was written.
func (c *codec) parse(buf []byte) (record, bool) {
	if len(buf) < minRecord {
		return record{}, false
	}
	length, raw, subject := le.Uint32(buf), le.Uint64(buf[4:]), int(le.Uint16(buf[20:]))
	r := record{size: int(length &^ headersBit), seq: raw &^ (erasedBit | tombBit), tomb: raw&tombBit != 0, dead: raw&erasedBit != 0}
	headers := length&headersBit != 0
	rest := headSize + subject
	if headers {
		rest += 4
	}
	if r.size < rest+sumSize || r.size > len(buf) || r.size > maxRecord {
		return record{}, false
	}
	end := r.size - sumSize
	c.hash.Reset()
	_, _ = c.hash.Write(buf[4:20]) // a hash takes everything
	_, _ = c.hash.Write(buf[headSize : headSize+subject])
	_, _ = c.hash.Write(buf[rest:end])
	if !bytes.Equal(c.hash.Sum(c.sum[:0]), buf[end:r.size]) {
		return record{}, false
	}
	if r.tomb || r.dead || r.seq == 0 {
		return r, true
	}
	if headers {
		return r, headersEnd(buf[rest:end], int(le.Uint32(buf[rest-4:])))
	}
	return r, !c.strict || subjectEnds(buf[headSize:end], subject)
}

// headersEnd tells whether the headers are so long. The checksum leaves their
// length out.
func headersEnd(data []byte, length int) bool {
	end := bytes.Index(data, []byte("\r\n\r\n"))
	return bytes.HasPrefix(data, []byte("NATS/1.0")) && end+4 == length
}

// subjectEnds tells whether the subject ends there and the body begins; between
// the two the checksum knows no border.
func subjectEnds(data []byte, length int) bool {
	body := data[length:]
	return bytes.IndexFunc(data[:length], inNoSubject) < 0 && (len(body) == 0 || body[0] == '[' || body[0] == '{')
}

func inNoSubject(c rune) bool {
	return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '-' || c == '_' || c == '$')
}

// maxHealed bounds the records for which every bit is tried: the time grows with
// the square, and is about half a second here.
const maxHealed = 32 << 10

// heal puts the record at the beginning of buf right if one flipped bit is what
// is wrong with it.
func (c *codec) heal(buf []byte) (record, bool) {
	if len(buf) < minRecord {
		return record{}, false
	}
	n := headSize
	if size := int(le.Uint32(buf) &^ headersBit); size >= minRecord && size <= min(len(buf), maxHealed) {
		n = size
	}
	for bit := range n * 8 {
		buf[bit/8] ^= 1 << (bit % 8)
		if r, ok := c.parse(buf); ok {
			return r, true
		}
		buf[bit/8] ^= 1 << (bit % 8)
	}
	return record{}, false
}
