package files

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"io"
	"strconv"
	"time"

	"tim/internal/blob"
	"tim/internal/fault"
)

const (
	// linkLife is how long a link to an avatar is valid at least.
	linkLife = 24 * time.Hour
	// linkStep is how often a link changes although the picture doesn't. Until then a browser that asks again is given the same
	// link, and shows what it has.
	linkStep = 7 * 24 * time.Hour
)

// AvatarLink is what makes a link to an avatar. It is the same for as long as the picture is, within a linkStep.
type AvatarLink struct {
	Expires   int64  // in seconds since 1970
	Signature string // of account and expiry
	Version   string // of the picture
}

// SignAvatar makes the link to an account's avatar, which is stored as object.
func (f *Files) SignAvatar(account string, object *blob.Object) AvatarLink {
	expires := linkEnd(account, time.Now())
	return AvatarLink{expires, f.sign(account, expires), Version(object)}
}

// linkEnd is when a link that is made now ends: a whole linkStep after the last one's end. The links of different accounts end at
// different times, so that browsers don't ask for all pictures at once.
func linkEnd(account string, now time.Time) int64 {
	const step = int64(linkStep / time.Second)
	sum := sha256.Sum256([]byte(account))
	phase := int64(binary.BigEndian.Uint32(sum[:])) % step
	earliest := now.Add(linkLife).Unix()
	return earliest + ((phase-earliest)%step+step)%step
}

// Version names what is stored as an object: another picture has another one. It stands in links, which anybody may see.
func Version(object *blob.Object) string {
	sum := sha256.Sum256([]byte(object.ETag + "\n" + strconv.FormatInt(object.Size, 10)))
	return base64.RawURLEncoding.EncodeToString(sum[:9])
}

// CheckAvatar refuses a link that SignAvatar did not sign, or that has expired. The version isn't signed: a link with another
// one, or with none, shows the picture as it is.
func (f *Files) CheckAvatar(account string, expires int64, signature string) error {
	if !hmac.Equal([]byte(signature), []byte(f.sign(account, expires))) {
		return fault.New(fault.InvalidLink)
	}
	if time.Now().Unix() > expires {
		return fault.New(fault.ExpiredLink)
	}
	return nil
}

func (f *Files) sign(account string, expires int64) string {
	mac := hmac.New(sha256.New, f.LinkKey)
	_, _ = io.WriteString(mac, strconv.FormatInt(expires, 10)+"\n"+account) // never fails
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
