package frame

import (
	"encoding/binary"
	"fmt"
)

// Order is the byte order of a frame's size. The zero value is the default.
type Order uint8

const (
	BigEndian    Order = iota // SPEC 1: big-endian by default
	LittleEndian              // by setting
)

// ParseOrder reads the setting: big (also if empty) or little.
func ParseOrder(s string) (Order, error) {
	switch s {
	case "", "big":
		return BigEndian, nil
	case "little":
		return LittleEndian, nil
	}
	return BigEndian, fmt.Errorf("byte order %q is neither big nor little", s)
}

// String is the word of the setting.
func (o Order) String() string {
	if o == LittleEndian {
		return "little"
	}
	return "big"
}

func (o Order) uint16(b []byte) uint16 {
	if o == LittleEndian {
		return binary.LittleEndian.Uint16(b)
	}
	return binary.BigEndian.Uint16(b)
}

func (o Order) appendUint16(b []byte, n uint16) []byte {
	if o == LittleEndian {
		return binary.LittleEndian.AppendUint16(b, n)
	}
	return binary.BigEndian.AppendUint16(b, n)
}
