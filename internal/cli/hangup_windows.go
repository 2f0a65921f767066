package cli

import "os"

// Hangup: Windows has no such signal; `vestnik reload` and the changed file do.
func Hangup() os.Signal { return nil }
