package files

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime/multipart"
	"strings"
	"testing"
	"testing/iotest"

	"tim/internal/fault"
)

const boundary = "the-boundary"

// part is one part of a form as it is sent.
func part(disposition, content string) string {
	return "--" + boundary + "\r\nContent-Disposition: " + disposition + "\r\n\r\n" + content + "\r\n"
}

func filePart(content string) string {
	return part(`form-data; name="file"; filename="x.png"`, content)
}

func fieldPart(name, content string) string { return part(`form-data; name="`+name+`"`, content) }

const end = "--" + boundary + "--"

func formOf(body io.Reader, check func(map[string]string) error) *Form {
	whole := Whole(io.NopCloser(body))
	return NewForm(multipart.NewReader(whole, boundary), whole, check)
}

func TestForm(t *testing.T) {
	t.Parallel()
	binary := "\x00\r\n--\r\n--the-boundar\r\n--other--\r\n\xff"
	for _, tt := range []struct {
		name, body, file string
		fields           map[string]string
		refused          bool
	}{
		{name: "a file", body: filePart("x") + end, file: "x"},
		{name: "with a line behind it", body: filePart("x") + end + "\r\n", file: "x"},
		{name: "with text around it", body: "before\r\n" + filePart("x") + end + "\r\nafter", file: "x"},
		{name: "an empty file", body: filePart("") + end},
		{name: "any bytes", body: filePart(binary) + end, file: binary},
		{name: "a file without a file name", body: fieldPart("file", "x") + end, file: "x"},
		{name: "a field before", body: fieldPart("username", "alice") + filePart("x") + end, file: "x", fields: map[string]string{"username": "alice"}},
		{name: "a field behind", body: filePart("x") + fieldPart("username", "alice") + end, file: "x", fields: map[string]string{"username": "alice"}},
		{
			name: "fields on both sides", body: fieldPart("a", "1") + filePart("x") + fieldPart("b", "2") + end, file: "x",
			fields: map[string]string{"a": "1", "b": "2"},
		},
		{name: "the last of the same name counts", body: fieldPart("a", "1") + filePart("x") + fieldPart("a", "2") + end, file: "x", fields: map[string]string{"a": "2"}},
		{name: "a field as long as may be", body: fieldPart("a", strings.Repeat("x", maxField)) + filePart("x") + end, file: "x", fields: map[string]string{"a": strings.Repeat("x", maxField)}},
		{name: "as many fields as may be", body: strings.Repeat(fieldPart("a", "1"), maxFields) + filePart("x") + end, file: "x", fields: map[string]string{"a": "1"}},

		{name: "nothing", refused: true},
		{name: "no parts", body: end, refused: true},
		{name: "no file", body: fieldPart("username", "alice") + end, refused: true},
		{name: "two files", body: filePart("x") + filePart("y") + end, refused: true},
		{name: "a field too long", body: fieldPart("a", strings.Repeat("x", maxField+1)) + filePart("x") + end, refused: true},
		{name: "a field too long behind", body: filePart("x") + fieldPart("a", strings.Repeat("x", maxField+1)) + end, refused: true},
		{name: "too many fields", body: strings.Repeat(fieldPart("a", "1"), maxFields+1) + filePart("x") + end, refused: true},
		{name: "too many on both sides", body: strings.Repeat(fieldPart("a", "1"), maxFields) + filePart("x") + fieldPart("b", "1") + end, refused: true},
		{name: "another boundary", body: strings.ReplaceAll(filePart("x")+end, boundary, "other"), refused: true},
		{name: "no form at all", body: `{"file": "x"}`, refused: true},
		{name: "a header without end", body: "--" + boundary + "\r\nContent-Disposition: form-data; name=\"file\"", refused: true},
		{name: "a header that is none", body: "--" + boundary + "\r\nwhat\r\n\r\nx\r\n" + end, refused: true},
		{name: "a file by another kind of disposition", body: part(`attachment; name="file"`, "x") + end, refused: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for how, body := range readers(tt.body) {
				fields := map[string]string{}
				form := formOf(body, func(f map[string]string) error { fields = maps.Clone(f); return nil })
				got, err := io.ReadAll(form)
				if tt.refused {
					refused(t, err, fault.MalformedUpload)
					if len(fields) != 0 {
						t.Errorf("%s: the check was asked", how)
					}
				} else {
					must(t, err)
					same(t, how+": the file", tt.file, string(got))
					if tt.fields == nil {
						tt.fields = map[string]string{}
					}
					same(t, how+": the fields", tt.fields, fields)
				}
				// After io.EOF, Read goes on returning io.EOF.
				if n, again := form.Read(make([]byte, 10)); n != 0 || (again == io.EOF) == tt.refused { //nolint:errorlint // the end itself
					t.Errorf("%s: read on after the end: %d, %v", how, n, again)
				}
			}
		})
	}
}

func readers(body string) map[string]io.Reader {
	return map[string]io.Reader{
		"at once": strings.NewReader(body), "in drops": iotest.OneByteReader(strings.NewReader(body)),
		"in halves": iotest.HalfReader(strings.NewReader(body)), "with its end": iotest.DataErrReader(strings.NewReader(body)),
	}
}

// What stands outside the contents of a form is kept in memory while it is read, so it is refused before it has ended.
func TestFormWithoutEnd(t *testing.T) {
	t.Parallel()
	head, field := "--"+boundary+"\r\nContent-Disposition: form-data; name=\"file\"\r\n", fieldPart("a", "1")
	for name, begin := range map[string]string{
		"one line": head + "X: ", "a folded line": head + "X: a\r\n ", "behind a field": field + head + "X: ", "behind the file": filePart("x") + head + "X: ",
		"a disposition": "--" + boundary + "\r\nContent-Disposition: form-data; name=\"",
	} {
		for _, line := range []string{"x", "x\r\n x", "x\r\nX: x"} {
			sent := io.MultiReader(strings.NewReader(begin), strings.NewReader(strings.Repeat(line, 1<<20)))
			_, err := io.ReadAll(formOf(sent, nil))
			refused(t, err, fault.MalformedUpload)
			if rest, err := io.Copy(io.Discard, sent); err != nil || rest < 1<<19 {
				t.Errorf("%s with %q: all but %d bytes were read: %v", name, line, rest, err)
			}
		}
	}
	long := strings.Repeat("x", 1<<20) // the bound isn't that of a file
	for _, form := range []string{filePart(long) + field + end, "before\r\n" + field + filePart(long) + end} {
		if got, err := io.ReadAll(formOf(strings.NewReader(form), nil)); err != nil || string(got) != long {
			t.Errorf("a long file: %d bytes, %v", len(got), err)
		}
	}
}

// A form that breaks off at any byte is refused, and nothing of it is stored.
func TestFormCutAnywhere(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	whole := fieldPart("a", "1") + filePart(string(pngFile(t))) + fieldPart("b", "2") + end
	for cut := range len(whole) {
		_, err := s.Save(t.Context(), "alice", Picture(), formOf(strings.NewReader(whole[:cut]), nil))
		if !fault.Is(err, fault.MalformedUpload) && !fault.Is(err, fault.UnsupportedFileType) {
			t.Errorf("cut to %q: %v", whole[max(0, cut-30):cut], err)
		}
	}
	same(t, "stored", nil, s.stored(t))
	_, err := s.Save(t.Context(), "alice", Picture(), formOf(strings.NewReader(whole), nil))
	must(t, err)
}

func TestFormWhoseBodyFails(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	whole := fieldPart("a", "1") + filePart(string(pngFile(t))) + fieldPart("b", "2") + end
	gone := errors.New("connection reset")
	for _, cut := range []int{0, 10, 60, 200, len(whole) - len(end) - 20, len(whole) - 3} {
		_, err := s.Save(t.Context(), "alice", Picture(), formOf(io.MultiReader(strings.NewReader(whole[:cut]), iotest.ErrReader(gone)), nil))
		refused(t, err, fault.MalformedUpload)
		if !errors.Is(err, gone) {
			t.Errorf("cut at %d: the log won't know why: %v", cut, err)
		}
	}
	same(t, "stored", nil, s.stored(t))
}

// The check comes last and decides: it sees fields after the file, and when it refuses, nothing is stored.
func TestFormThatIsRefused(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	why := fault.New(fault.NotYourAccount)
	check := func(fields map[string]string) error {
		if fields["username"] == "bob" {
			return why
		}
		return nil
	}
	for _, where := range []string{fieldPart("username", "bob") + filePart(string(pngFile(t))), filePart(string(pngFile(t))) + fieldPart("username", "bob")} {
		err := s.SaveAvatar(t.Context(), "alice", formOf(strings.NewReader(where+end), check))
		refused(t, err, fault.NotYourAccount)
	}
	same(t, "stored", nil, s.stored(t))
}

// FuzzForm looks for an incomplete form whose file is stored, a refusal without a reason, and a panic.
func FuzzForm(f *testing.F) {
	picture := string(pngFile(f))
	for _, body := range []string{
		"", end, filePart(picture) + end, filePart(picture), filePart(picture) + "--" + boundary, filePart(picture) + filePart(picture) + end,
		fieldPart("username", "alice") + filePart(picture) + end + "\r\n", filePart(picture) + fieldPart("username", "alice") + end,
		filePart("no picture") + end, "--" + boundary + "\r\n\r\n" + picture + "\r\n" + end, strings.ReplaceAll(filePart(picture)+end, "\r\n", "\n"),
		"--" + boundary + "\r\nContent-Disposition: form-data; name=file\r\nContent-Transfer-Encoding: base64\r\n\r\n" + picture + "\r\n" + end,
	} {
		f.Add([]byte(body))
	}
	s := newShelf(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		name, err := s.Save(t.Context(), "alice", Picture(), formOf(bytes.NewReader(body), nil))
		if err != nil {
			if fault.From(err).Reason == fault.Internal || name != "" {
				t.Errorf("%q and an error without a reason: %v", name, err)
			}
			if left := s.stored(t); len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
			return
		}
		want, problem := wholeForm(body)
		if problem != nil {
			t.Errorf("stored although %v", problem)
		}
		object, err := s.Open(t.Context(), Picture(), name)
		must(t, err)
		if got := contentOf(t, object); !bytes.Equal(got, want) {
			t.Errorf("stored %q of %q", got, want)
		}
		must(t, s.Store.Delete(t.Context(), "picture/"+name))
	})
}

// wholeForm parses a complete form and returns its only file.
func wholeForm(body []byte) (file []byte, err error) {
	if !bytes.Contains(body, []byte(end)) {
		return nil, errors.New("it has no end")
	}
	parts, files := multipart.NewReader(bytes.NewReader(body), boundary), 0
	for {
		p, err := parts.NextRawPart()
		if err == io.EOF && files == 1 { //nolint:errorlint // a wrapped one is a break
			return file, nil
		}
		if err != nil {
			return nil, fmt.Errorf("after %d files: %w", files, err)
		}
		content, err := io.ReadAll(p)
		if err != nil {
			return nil, err
		}
		if p.FormName() == "file" {
			file = content
			files++
		}
	}
}
