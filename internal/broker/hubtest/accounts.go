package hubtest

// Accounts is the block of the hub's configuration with its accounts, for tests whose
// servers are processes of their own. Passwords are Password.
func Accounts(terminals ...string) string { return accounts(terminals) }
