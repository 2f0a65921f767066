package scrub

import (
	"slices"
	"testing"
)

func TestMinus(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		r, k Range
		want []Range
	}{
		{Range{5, 9}, Range{1, 4}, []Range{{5, 9}}},
		{Range{5, 9}, Range{10, 12}, []Range{{5, 9}}},
		{Range{5, 9}, Range{5, 9}, nil},
		{Range{5, 9}, Range{1, 20}, nil},
		{Range{5, 9}, Range{1, 6}, []Range{{7, 9}}},
		{Range{5, 9}, Range{8, 20}, []Range{{5, 7}}},
		{Range{5, 9}, Range{6, 7}, []Range{{5, 5}, {8, 9}}},
	} {
		if got := c.r.minus(c.k); !slices.Equal(got, c.want) {
			t.Errorf("%v without %v: %v, want %v", c.r, c.k, got, c.want)
		}
	}
}
