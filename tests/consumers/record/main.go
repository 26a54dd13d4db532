// Checks what the server signs of its record with the tools of Go's checksum database: a checkpoint, a proof that an event
// stands in the log, and a proof that the log only grew. Arguments: the verifier key, then files: the event's body, the
// proof of inclusion (c2sp.org/tlog-proof), an older checkpoint, the hashes of the proof of consistency.
package main

import (
	"bytes"
	"fmt"
	"log"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

// The size and root of a checkpoint that the key signed.
func open(verifier note.Verifier, signed []byte) (int64, tlog.Hash) {
	opened := must(note.Open(signed, note.VerifierList(verifier)))
	lines := strings.Split(opened.Text, "\n")
	return must(strconv.ParseInt(lines[1], 10, 64)), must(tlog.ParseHash(lines[2]))
}

func hashes(lines []string) []tlog.Hash {
	var all []tlog.Hash
	for _, line := range lines {
		if line != "" {
			all = append(all, must(tlog.ParseHash(line)))
		}
	}
	return all
}

func main() {
	verifier := must(note.NewVerifier(os.Args[1]))
	body := must(os.ReadFile(os.Args[2]))
	head, checkpoint, _ := bytes.Cut(must(os.ReadFile(os.Args[3])), []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	if lines[0] != "c2sp.org/tlog-proof@v1" {
		log.Fatal(lines[0])
	}
	index := must(strconv.ParseInt(strings.TrimPrefix(lines[1], "index "), 10, 64))
	size, root := open(verifier, checkpoint)
	if err := tlog.CheckRecord(hashes(lines[2:]), size, root, index, tlog.RecordHash(body)); err != nil {
		log.Fatal(err)
	}
	if tlog.CheckRecord(hashes(lines[2:]), size, root, index, tlog.RecordHash(append(body, ' '))) == nil {
		log.Fatal("another event is proved as well")
	}
	oldSize, oldRoot := open(verifier, must(os.ReadFile(os.Args[4])))
	grown := hashes(strings.Split(string(must(os.ReadFile(os.Args[5]))), "\n"))
	if err := tlog.CheckTree(grown, size, root, oldSize, oldRoot); err != nil {
		log.Fatal(err)
	}
	fmt.Println("done")
}
