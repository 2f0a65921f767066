package app

import "os"

// hangup: Windows has no such signal; `vestnik reload` and the changed file do.
func hangup() os.Signal { return nil }
