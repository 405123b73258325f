package files

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"tim/internal/blob"
	"tim/internal/fault"
	"tim/internal/store"
)

func (s *shelf) used(t *testing.T, account string) int64 {
	t.Helper()
	used, err := s.DB.Read().FileBytes(t.Context(), ofAccount, account)
	must(t, err)
	return used
}

func (s *shelf) sums(t *testing.T) map[string]Sum {
	t.Helper()
	sums, err := s.Sums(t.Context())
	must(t, err)
	byKind := make(map[string]Sum)
	for _, sum := range sums {
		byKind[sum.Kind] = sum
	}
	return byKind
}

func TestQuotaOfAnAccount(t *testing.T) {
	t.Parallel()
	onBoth(t, quotaOfAnAccount)
}

func quotaOfAnAccount(t *testing.T, onEngine func(*Options)) {
	picture := pngFile(t)
	size := int64(len(picture))
	s := newShelf(t, onEngine, func(o *Options) { o.AccountLimit = 3 * size })
	for range 3 {
		_, err := s.Save(t.Context(), "alice", Picture(), bytes.NewReader(picture))
		must(t, err)
	}
	_, err := s.Save(t.Context(), "alice", Picture(), bytes.NewReader(picture))
	refused(t, err, fault.QuotaExceeded)
	refused(t, s.SaveAvatar(t.Context(), "alice", bytes.NewReader(picture)), fault.QuotaExceeded)
	_, err = s.Save(t.Context(), "alice", Video(), bytes.NewReader(picture))
	refused(t, err, fault.UnsupportedFileType) // which comes first
	_, err = s.Save(t.Context(), "bob", Picture(), bytes.NewReader(picture))
	must(t, err)
	same(t, "alice's bytes", 3*size, s.used(t, "alice"))
	same(t, "pictures", Sum{"picture", 4, 4 * size}, s.sums(t)["picture"])
	same(t, "files", 4, len(s.stored(t)))
}

// An avatar's bytes come back when it is replaced, whatever the new one's size.
func TestQuotaOfAvatars(t *testing.T) {
	t.Parallel()
	onBoth(t, quotaOfAvatars)
}

func quotaOfAvatars(t *testing.T, onEngine func(*Options)) {
	small, large := pngFile(t), append(pngFile(t), make([]byte, 1000)...)
	s := newShelf(t, onEngine, func(o *Options) { o.AccountLimit = int64(len(large)) })
	for _, picture := range [][]byte{small, large, large, small, large} {
		must(t, s.SaveAvatar(t.Context(), "alice", bytes.NewReader(picture)))
		same(t, "alice's bytes", int64(len(picture)), s.used(t, "alice"))
		same(t, "avatars", Sum{"avatar", 1, int64(len(picture))}, s.sums(t)["avatar"])
	}
	refused(t, s.SaveAvatar(t.Context(), "alice", bytes.NewReader(append(large, 0))), fault.QuotaExceeded)
	object, _, err := s.OpenAvatar(t.Context(), "alice", "")
	must(t, err)
	if !bytes.Equal(contentOf(t, object), large) {
		t.Error("the refused avatar replaced the one before")
	}
}

// Uploads that end at the same moment can't pass the quota together.
func TestQuotaOfUploadsAtOnce(t *testing.T) {
	t.Parallel()
	onBoth(t, quotaOfUploadsAtOnce)
}

func quotaOfUploadsAtOnce(t *testing.T, onEngine func(*Options)) {
	picture := pngFile(t)
	s := newShelf(t, onEngine, func(o *Options) { o.AccountLimit = 4*int64(len(picture)) + 1 })
	const uploads = 12
	var arrived, group sync.WaitGroup
	arrived.Add(uploads)
	errs := make(chan error, uploads)
	for range uploads {
		group.Go(func() {
			last := &waitingReader{bytes.NewReader(picture), sync.OnceFunc(func() { arrived.Done(); arrived.Wait() })}
			_, err := s.Save(t.Context(), "alice", Picture(), last)
			errs <- err
		})
	}
	group.Wait()
	stored := 0
	for range uploads {
		if err := <-errs; err == nil {
			stored++
		} else {
			refused(t, err, fault.QuotaExceeded)
		}
	}
	if stored != 4 || len(s.stored(t)) != 4 || s.used(t, "alice") != 4*int64(len(picture)) {
		t.Errorf("%d were stored, %v, %d bytes", stored, s.stored(t), s.used(t, "alice"))
	}
}

// waitingReader waits for others before it ends.
type waitingReader struct {
	io.Reader

	wait func()
}

func (w *waitingReader) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		w.wait()
	}
	return n, err
}

// brokenStore is a folder that can't store, and tells what room there is.
type brokenStore struct {
	blob.Store

	err  error
	room blob.Room
}

func (b *brokenStore) Put(ctx context.Context, key string, r io.Reader) (int64, error) {
	if b.err == nil {
		return b.Store.Put(ctx, key, r)
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		return 0, err
	}
	return 0, b.err
}

func (b *brokenStore) Room() (blob.Room, bool) { return b.room, b.room.Total > 0 }

func TestStoreThatFailsAfterTheRow(t *testing.T) {
	t.Parallel()
	onBoth(t, storeThatFailsAfterTheRow)
}

func storeThatFailsAfterTheRow(t *testing.T, onEngine func(*Options)) {
	broken := &brokenStore{}
	s := newShelf(t, onEngine, func(o *Options) { broken.Store, o.Store = o.Store, broken })
	picture := pngFile(t)
	must(t, s.SaveAvatar(t.Context(), "alice", bytes.NewReader(picture)))
	for _, tt := range []struct {
		err  error
		want fault.Reason
	}{{errors.New("away"), fault.Unavailable}, {errors.Join(blob.ErrFull, errors.New("put")), fault.StorageFull}} {
		broken.err = tt.err
		_, err := s.Save(t.Context(), "alice", Picture(), bytes.NewReader(picture))
		refused(t, err, tt.want)
		refused(t, s.SaveAvatar(t.Context(), "alice", bytes.NewReader(append(picture, 1, 2, 3))), tt.want)
		refused(t, s.SaveAvatar(t.Context(), "bob", bytes.NewReader(picture)), tt.want)
	}
	same(t, "alice's bytes", int64(len(picture)), s.used(t, "alice"))
	same(t, "bob's bytes", 0, s.used(t, "bob"))
	same(t, "avatars", Sum{"avatar", 1, int64(len(picture))}, s.sums(t)["avatar"])
	same(t, "pictures", Sum{"picture", 0, 0}, s.sums(t)["picture"])
}

func TestRoomOnTheDisk(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	for _, tt := range []struct {
		name        string
		free, total int64
		minimum     int64
		want        RoomState
	}{
		{"enough", 600 * mib, 10000 * mib, 500 * mib, RoomEnough},
		{"as much as must stay", 500 * mib, 10000 * mib, 500 * mib, RoomEnough},
		{"less", 500*mib - 1, 10000 * mib, 500 * mib, RoomLow},
		{"a small disk", 20 * mib, 100 * mib, 500 * mib, RoomEnough},
		{"a small disk that fills up", 9 * mib, 100 * mib, 500 * mib, RoomLow},
		{"no minimum", mib, 10000 * mib, 0, RoomEnough},
		{"nothing", 0, 10000 * mib, 500 * mib, RoomNone},
		{"nothing, and no minimum", 4096, 10000 * mib, 0, RoomNone},
		{"unknown", 0, 0, 500 * mib, RoomEnough},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			disk := &brokenStore{room: blob.Room{Free: tt.free, Total: tt.total}}
			s := newShelf(t, func(o *Options) { disk.Store, o.Store, o.MinFree = o.Store, disk, tt.minimum })
			state, _ := s.Room()
			same(t, "its state", tt.want, state)
			_, err := s.Save(t.Context(), "alice", Picture(), bytes.NewReader(pngFile(t)))
			if tt.want == RoomEnough {
				must(t, err)
				return
			}
			refused(t, err, fault.StorageFull)
			same(t, "stored", nil, s.stored(t))
		})
	}
}

// A disk that fills up while a file arrives refuses the rest.
func TestRoomThatEnds(t *testing.T) {
	t.Parallel()
	disk := &brokenStore{room: blob.Room{Free: 1 << 40, Total: 1 << 41}}
	s := newShelf(t, func(o *Options) { disk.Store, o.Store, o.MinFree = o.Store, disk, 1<<30 })
	film := io.MultiReader(bytes.NewReader(append(mp4File("isom"), make([]byte, 1<<20)...)), onRead(func() { disk.room.Free = 1 << 20 }), bytes.NewReader(make([]byte, 3<<20)))
	_, err := s.Save(t.Context(), "alice", Video(), film)
	refused(t, err, fault.StorageFull)
	same(t, "stored", nil, s.stored(t))
}

// onRead is a reader without bytes that does something when it is read.
type onRead func()

func (o onRead) Read([]byte) (int, error) {
	o()
	return 0, io.EOF
}

func TestSweep(t *testing.T) {
	t.Parallel()
	onBoth(t, sweep)
}

func sweep(t *testing.T, onEngine func(*Options)) {
	s := newShelf(t, onEngine, func(o *Options) { o.Grace = time.Hour })
	picture := pngFile(t)
	save := func() string {
		name, err := s.Save(t.Context(), "alice", Picture(), bytes.NewReader(picture))
		must(t, err)
		return name
	}
	old, young, used, inGroup, inNoGroup := save(), save(), save(), save(), save()
	must(t, s.SaveAvatar(t.Context(), "alice", bytes.NewReader(picture)))
	s.copyIn(t, "picture/2022-02-26:01:34:05", picture) // of the original
	id := func(name string) string { return name[len(nameTime)+1:] }
	must(t, s.DB.Tx(t.Context(), func(tx *store.Tx) error {
		group, err := tx.CreateGroup(t.Context(), "friends", nullString(), "open")
		if err != nil {
			return err
		}
		return tx.NoteFileUses(t.Context(), []store.FileUse{
			{File: id(used), Conversation: "d1", Seq: 1}, {File: id(inGroup), Conversation: "g1", Seq: 1, Group: int32(group)},
			{File: id(inNoGroup), Conversation: "g99", Seq: 1, Group: 99}, {File: "UNKNOWNUNKNOWNUNKNOWNUNKNO", Conversation: "d1", Seq: 2},
		}, time.Now().UnixMilli())
	}))
	must(t, s.sweepOnce(t.Context()))
	same(t, "files of less than the grace", 7, len(s.stored(t)))
	past := time.Now().Add(-2 * time.Hour).UnixMilli()
	for _, name := range []string{old, used, inGroup, inNoGroup} {
		must(t, s.DB.Write().KeepFile(t.Context(), nullInt(past), id(name)))
	}
	must(t, s.sweepOnce(t.Context()))
	for name, stays := range map[string]bool{old: false, young: true, used: true, inGroup: true, inNoGroup: false, "2022-02-26:01:34:05": true} {
		object, err := s.Open(t.Context(), Picture(), name)
		if stays {
			must(t, err)
			must(t, object.Close())
			continue
		}
		refused(t, err, fault.UnknownFile)
	}
	same(t, "alice's bytes", 4*int64(len(picture)), s.used(t, "alice"))
	same(t, "pictures", Sum{"picture", 3, 3 * int64(len(picture))}, s.sums(t)["picture"])
	rows, err := s.DB.Read().FilesToCheck(t.Context(), nullInt(time.Now().Add(-time.Hour).UnixMilli()), 100)
	must(t, err)
	same(t, "files still to check", 0, len(rows)) // used ones are looked at again after the grace
}

// A sweep whose process died after the file was deleted goes on where it was.
func TestSweepAfterItsDeath(t *testing.T) {
	t.Parallel()
	s := newShelf(t, func(o *Options) { o.Grace = time.Millisecond })
	name, err := s.Save(t.Context(), "alice", Picture(), bytes.NewReader(pngFile(t)))
	must(t, err)
	_, err = s.DB.Write().CondemnFile(t.Context(), name[len(nameTime)+1:])
	must(t, err)
	must(t, s.Store.Delete(t.Context(), "picture/"+name))
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	group.Go(func() { s.Sweep(ctx) })
	await(t, "the sweep gives the bytes back", func() bool { return s.used(t, "alice") == 0 })
	cancel()
	group.Wait()
}
