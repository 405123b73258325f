package realtime

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// plainSyncs are of the shape that plainSync takes, otherSyncs are not, be they good or bad.
func plainSyncs() []string {
	item := `{"conversation":{"user":"bob"},"seq":1}`
	return []string{
		`{"type":"sync","id":"s"}`, `{"id":"s","have":[],"type":"sync"}`, " { \"type\" : \"sync\" ,\n\"have\" : [ ] , \"id\":\"s\" } ",
		`{"type":"sync","id":"r1","have":[{"conversation":{"user":"bob"},"seq":41},{"seq":0,"conversation":{"group":1}}]}`,
		`{"type":"sync","id":"s","have":[ ` + item + " ,\t" + item + ` ]}`,
		`{"type":"sync","id":"s","have":[{"conversation":{"user":"ren\u00e9 张三"},"seq":999999999999999}]}`,
		`{"type":"sync","id":"s","have":[` + strings.Repeat(item+",", maxHave-1) + item + `]}`,
	}
}

func otherSyncs() []string {
	item := `{"conversation":{"user":"bob"},"seq":1}`
	others := []string{
		``, `{}`, `[]`, `{"type":"sync"}`, `{"id":"s"}`, `{"type":"ping","id":"s"}`, `{"type":"ping","id":"s","have":[]}`, `{"type":"sync","id":"s"} x`, `{"type":"sync","id":"s"`,
		`{"type":"sync","id":"s","after":"g1"}`, `{"type":"sync","id":"s","seq":1}`, `{"type":"sync","id":"s","x":1}`, `{"type":"sync","id":"a b"}`,
		`{"type":"sync","id":"s","id":"s"}`, `{"type":"sync","id":"s","have":[],"have":[]}`, `{"type":"sync","id":"s","Have":[]}`,
		`{"type":"sync","id":"s","conversation":{"user":"bob"}}`, `{"type":"sync","id":"s","have":[` + strings.Repeat(item+",", maxHave) + item + `]}`,
	}
	for _, have := range []string{
		`null`, `{}`, `""`, `[`, `[,]`, `[` + item, `[` + item + `,`, `[` + item + `,]`, `[` + item + item + `]`, `[null]`, `[[]]`, `[{}]`, `[{"seq":1}]`,
		`[{"conversation":{"user":"bob"}}]`, `[{"conversation":{"user":"bob"},"seq":-1}]`, `[{"conversation":{"user":"bob"},"seq":1.0}]`,
		`[{"conversation":{"user":"bob"},"seq":1,"seq":1}]`, `[{"conversation":{"user":"bob"},"conversation":{"user":"bob"},"seq":1}]`,
		`[{"conversation":{"user":"bob"},"seq":1,"x":1}]`, `[{"conversation":{"user":"bob"},"seq":1,"id":"s"}]`, `[{"conversation":{},"seq":1}]`,
		`[{"conversation":{"user":"bob","group":1},"seq":1}]`, `[{"conversation":{"user":""},"seq":1}]`, `[{"conversation":"bob","seq":1}]`,
	} {
		others = append(others, `{"type":"sync","id":"s","have":`+have+`}`)
	}
	return others
}

// Syncs of the plain shape take the fast way, all others the slow one, and where both ways are there they lead to the same.
func TestPlainSync(t *testing.T) {
	t.Parallel()
	spec, err := loadFrames()
	if err != nil {
		t.Fatal(err)
	}
	r := newRequests(spec)
	for _, frame := range plainSyncs() {
		if _, ok := plainSync([]byte(frame)); !ok {
			t.Errorf("not taken: %.200s", frame)
		}
		r.compareSync(t, []byte(frame))
	}
	for _, frame := range otherSyncs() {
		if request, ok := plainSync([]byte(frame)); ok {
			t.Errorf("%.200s is taken for %+v", frame, request)
		}
	}
	whole := plainSyncs()[3]
	for cut := range whole {
		if _, ok := plainSync([]byte(whole[:cut])); ok {
			t.Errorf("taken: %s", whole[:cut])
		}
	}
}

// What plainSync takes is to the schemas the same.
func FuzzPlainSync(f *testing.F) {
	for _, seed := range append(plainSyncs(), otherSyncs()...) {
		f.Add([]byte(seed))
	}
	spec, err := loadFrames()
	if err != nil {
		f.Fatal(err)
	}
	r := newRequests(spec)
	f.Fuzz(func(t *testing.T, frame []byte) { r.compareSync(t, frame) })
}

func (r *requests) compareSync(t *testing.T, frame []byte) {
	t.Helper()
	request, ok := plainSync(frame)
	if !ok {
		return
	}
	want, id, err := r.decodeAny(frame)
	if err != nil || id != request.ID {
		t.Fatalf("%.200s is taken for %+v, but: %q, %v", frame, request, id, err)
	}
	if diff := cmp.Diff(want, any(request)); diff != "" {
		t.Errorf("%.200s (-schemas +plain):\n%s", frame, diff)
	}
}

// plainSync checks by hand what these schemas ask. Whoever changes one of them must look at plainSync, too; what ids and
// targets are has a test of its own.
func TestPlainSyncKnowsTheSchemas(t *testing.T) {
	t.Parallel()
	spec, err := loadFrames()
	if err != nil {
		t.Fatal(err)
	}
	sync, have := spec.Components.Schemas["Sync"].Value, spec.Components.Schemas["Have"].Value
	if diff := cmp.Diff([]string{"after", "have", "id", "type"}, slices.Sorted(maps.Keys(sync.Properties))); diff != "" {
		t.Errorf("Sync (-plainSync +schema):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"conversation", "seq"}, slices.Sorted(maps.Keys(have.Properties))); diff != "" || len(have.Required) != 2 {
		t.Errorf("Have (-plainSync +schema), of which it requires %v:\n%s", have.Required, diff)
	}
	list, seq := sync.Properties["have"].Value, have.Properties["seq"].Value
	if *list.MaxItems != maxHave || list.MinItems != 0 || list.UniqueItems || *seq.Min != 0 || seq.Max != nil {
		t.Errorf("have is %+v, a seq %+v", list, seq)
	}
}

// BenchmarkDecodeSync is a sync of a client that has 20 conversations.
func BenchmarkDecodeSync(b *testing.B) {
	spec, err := loadFrames()
	if err != nil {
		b.Fatal(err)
	}
	r := newRequests(spec)
	item := `{"conversation":{"user":"bob"},"seq":41}`
	for name, frame := range map[string]string{
		"first": plainSyncs()[0], "20 conversations": `{"type":"sync","id":"s","have":[` + strings.Repeat(item+",", 19) + item + `]}`,
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := r.decode([]byte(frame)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
