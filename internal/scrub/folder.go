package scrub

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/minio/highwayhash"
)

// Names of the server's files.
const (
	metaFile  = "meta.inf"
	sumFile   = "meta.sum"
	keyFile   = "meta.key"
	indexFile = "index.db"
	msgsDir   = "msgs"
)

// folder is a stream's folder.
type folder struct {
	account, stream string
	dir             string
}

func (f folder) name() string              { return f.account + "/" + f.stream }
func (f folder) path(name string) string   { return filepath.Join(f.dir, name) }
func (f folder) msgs(name string) string   { return filepath.Join(f.dir, msgsDir, name) }
func (f folder) block(index uint32) string { return f.msgs(fmt.Sprintf("%d.blk", index)) }

// at is the folder of a stream by its name.
func at(root, name string) folder {
	account, stream, _ := strings.Cut(name, "/")
	return folder{account, stream, filepath.Join(root, "jetstream", account, "streams", stream)}
}

// folders lists the streams' folders in the store.
func folders(root string) ([]folder, error) {
	dirs, err := filepath.Glob(filepath.Join(escape(root), "jetstream", "*", "streams", "*"))
	if err != nil {
		return nil, fmt.Errorf("store folder %s: %w", root, err)
	}
	var list []folder
	for _, dir := range dirs {
		info, err := os.Stat(dir)
		stream := filepath.Base(dir)
		if err != nil || !info.IsDir() || strings.HasPrefix(stream, ".") { // a dot: being deleted
			continue
		}
		list = append(list, folder{filepath.Base(filepath.Dir(filepath.Dir(dir))), stream, dir})
	}
	return list, nil
}

// escape keeps a pattern from taking what stands in a path for its own signs.
func escape(path string) string {
	if filepath.Separator == '\\' { // no escapes there, and no such names but brackets
		return strings.ReplaceAll(path, "[", "?")
	}
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}

// blocks lists the numbers of the block files, in order.
func (f folder) blocks() ([]uint32, error) {
	list, err := blocksIn(f.path(msgsDir))
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", f.name(), err)
	}
	return list, nil
}

// blocksIn lists those of a folder.
func blocksIn(dir string) ([]uint32, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	var list []uint32
	for _, e := range entries {
		var n uint32
		if _, err := fmt.Sscanf(e.Name(), "%d.blk", &n); err == nil && e.Name() == fmt.Sprintf("%d.blk", n) {
			list = append(list, n)
		}
	}
	slices.Sort(list)
	return list, nil
}

// sizes are those of the block files.
func (f folder) sizes() (map[uint32]int64, error) {
	list, err := f.blocks()
	if err != nil {
		return nil, err
	}
	sizes := make(map[uint32]int64, len(list))
	for _, index := range list {
		if info, err := os.Stat(f.block(index)); err == nil { // else it has just been removed
			sizes[index] = info.Size()
		}
	}
	return sizes, nil
}

// config is what matters here of a stream's configuration.
type config struct {
	Storage     string          `json:"storage"`
	Compression string          `json:"compression"`
	Replicas    int             `json:"num_replicas"`
	PersistMode json.RawMessage `json:"persist_mode"`
}

// meta reads the stream's configuration; false if the server would not take it.
func (f folder) meta() (inf, sum []byte, ok bool) {
	inf, err := os.ReadFile(f.path(metaFile))
	if err != nil {
		return nil, nil, false
	}
	if sum, err = os.ReadFile(f.path(sumFile)); err != nil {
		return nil, nil, false
	}
	return inf, sum, metaGood(f.stream, inf, sum)
}

// tornMeta tells whether one of the configuration's two files is missing, empty or
// cut short, as a power cut leaves what was not synced; a disk that decays does not.
func (f folder) tornMeta() bool {
	inf, err := os.ReadFile(f.path(metaFile))
	if err != nil || len(inf) == 0 || inf[len(inf)-1] != '}' {
		return true
	}
	sum, err := os.ReadFile(f.path(sumFile))
	return err != nil || len(sum) != 16 || sum[0] == 0 // highwayhash, 64 bits in hexadecimal digits
}

func metaGood(stream string, inf, sum []byte) bool {
	key := sha256.Sum256([]byte(stream))
	h, err := highwayhash.NewDigest64(key[:])
	if err != nil {
		return false
	}
	_, _ = h.Write(inf) // a hash takes everything
	return len(inf) > 0 && hex.EncodeToString(h.Sum(nil)) == string(sum)
}

// unreadable says why the blocks cannot be looked through, "" = they can.
func (f folder) unreadable(inf []byte) string {
	if exists(f.path(keyFile)) {
		return "encrypted"
	}
	var c config
	switch err := json.Unmarshal(inf, &c); {
	case err != nil:
		return "its configuration cannot be read"
	case c.Compression != "" && c.Compression != "none":
		return "compressed"
	case c.Replicas > 1:
		return "replicated"
	}
	return ""
}

// indexed is what the server's own state file says of the stream; false if there
// is none, or it is damaged. Its first sequence is right also after a crash: who
// removes a stream's front writes it anew.
func (f folder) indexed() (first, last uint64, ok bool) {
	data, err := os.ReadFile(f.msgs(indexFile))
	if err != nil || len(data) < 32 || data[0] != 11 {
		return 0, 0, false
	}
	key := sha256.Sum256([]byte(f.stream))
	h, err := highwayhash.NewDigest64(key[:])
	if err != nil {
		return 0, 0, false
	}
	body := data[:len(data)-sumSize]
	_, _ = h.Write(body) // a hash takes everything
	if !bytes.Equal(h.Sum(nil), data[len(body):]) {
		return 0, 0, false
	}
	r := bytes.NewReader(body[2:])
	var fields [5]uint64 // messages, bytes, first, its time, last
	for i := range fields {
		if fields[i], err = binary.ReadUvarint(r); err != nil {
			return 0, 0, false
		}
	}
	return fields[2], fields[4], true
}
