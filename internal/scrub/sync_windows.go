package scrub

// syncDir is not to be had on Windows: NTFS journals names.
func syncDir(string) error { return nil }
