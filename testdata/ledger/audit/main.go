// Command audit checks an exported Datapact ledger with golang.org/x/mod/sumdb, which Datapact did not write: the
// checkpoint's signature, every tile against its root, and every entry against its leaf hash. It does not know the
// contract.
//
//	audit VKEY DIRECTORY
package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// tiles reads the tiles of a directory. The package's own paths have the tile height in them (tile/8/0/000), those
// of C2SP tlog-tiles do not.
type tiles struct{ dir string }

func (t tiles) Height() int { return 8 }

func (t tiles) SaveTiles([]tlog.Tile, [][]byte) {}

func (t tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var data [][]byte
	for _, tile := range wanted {
		path := strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
		bytes, err := os.ReadFile(filepath.Join(t.dir, path))
		if err != nil {
			return nil, err
		}
		data = append(data, bytes)
	}
	return data, nil
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: audit VKEY DIRECTORY")
		os.Exit(2)
	}
	if err := audit(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "audit:", err)
		os.Exit(1)
	}
}

func audit(vkey, dir string) error {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return err
	}
	signed, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	if err != nil {
		return err
	}
	opened, err := note.Open(signed, note.VerifierList(verifier))
	if err != nil {
		return err
	}
	var origin, root string
	var size int64
	if _, err := fmt.Sscanf(opened.Text, "%s\n%d\n%s\n", &origin, &size, &root); err != nil {
		return err
	}
	if origin != verifier.Name() {
		return fmt.Errorf("the checkpoint is of %q", origin)
	}
	hash, err := tlog.ParseHash(root)
	if err != nil {
		return err
	}
	if size == 0 {
		fmt.Printf("0 entries of %s are as signed\n", origin)
		return nil
	}
	// Every hash that this reader gives is proved to lie in the tree that was signed.
	reader := tlog.TileHashReader(tlog.Tree{N: size, Hash: hash}, tiles{dir})
	for first := int64(0); first < size; first += 256 {
		width := min(size-first, 256)
		name := tlog.Tile{H: 8, L: 0, N: first / 256, W: int(width)}.Path()
		bundle, err := os.ReadFile(filepath.Join(dir, strings.Replace(name, "tile/8/0/", "tile/entries/", 1)))
		if err != nil {
			return err
		}
		indexes := make([]int64, width)
		for i := range indexes {
			indexes[i] = tlog.StoredHashIndex(0, first+int64(i))
		}
		leaves, err := reader.ReadHashes(indexes)
		if err != nil {
			return err
		}
		rest := bytes.NewReader(bundle)
		for i := range width {
			var length uint16
			if err := binary.Read(rest, binary.BigEndian, &length); err != nil {
				return fmt.Errorf("entry %d: %w", first+i, err)
			}
			entry := make([]byte, length)
			if n, err := rest.Read(entry); err != nil || n != int(length) {
				return fmt.Errorf("entry %d is cut short", first+i)
			}
			if tlog.RecordHash(entry) != leaves[i] {
				return fmt.Errorf("entry %d is not the one that was signed", first+i)
			}
		}
		if rest.Len() != 0 {
			return fmt.Errorf("there is more than entry %d", first+width-1)
		}
	}
	fmt.Printf("%d entries of %s are as signed\n", size, origin)
	return nil
}
