package ledger

// Facts hands out the view's entries without what only EVENTS tells, time and attributes,
// in no order.
func (v *View) Facts(f func(Entry)) {
	for k, fact := range v.book.facts {
		f(v.book.entry(k, fact))
	}
}
