package rest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"tim/gen/api"
	"tim/internal/blob"
	"tim/internal/fault"
	"tim/internal/files"
)

// UploadHeadPic sets the caller's avatar. A name may stand in the query or anywhere in the form, and must then be the
// caller's.
func (h *handlers) UploadHeadPic(ctx context.Context, r api.UploadHeadPicRequestObject) (api.UploadHeadPicResponseObject, error) {
	account := requestOf(ctx).session.Account
	form := files.NewForm(r.Body, requestOf(ctx).form, func(fields map[string]string) error {
		if name, inForm := fields["username"]; inForm {
			if err := h.chat.OwnName(ctx, account, name); err != nil {
				return err
			}
		}
		if r.Params.Username != nil {
			return h.chat.OwnName(ctx, account, *r.Params.Username)
		}
		return nil
	})
	if err := h.files.SaveAvatar(ctx, account, form); err != nil {
		return nil, err
	}
	return text(say(ctx, fault.Uploaded)), nil
}

// UploadChatPic stores a picture.
func (h *handlers) UploadChatPic(ctx context.Context, r api.UploadChatPicRequestObject) (api.UploadChatPicResponseObject, error) {
	name, err := h.save(ctx, files.Picture(), r.Body)
	return text(name), err
}

// UploadMp3 stores music.
func (h *handlers) UploadMp3(ctx context.Context, r api.UploadMp3RequestObject) (api.UploadMp3ResponseObject, error) {
	name, err := h.save(ctx, files.Audio(), r.Body)
	return text(name), err
}

// UploadMp4 stores a video.
func (h *handlers) UploadMp4(ctx context.Context, r api.UploadMp4RequestObject) (api.UploadMp4ResponseObject, error) {
	name, err := h.save(ctx, files.Video(), r.Body)
	return text(name), err
}

func (h *handlers) save(ctx context.Context, kind files.Kind, parts *multipart.Reader) (string, error) {
	r := requestOf(ctx)
	return h.files.Save(ctx, r.session.Account, kind, files.NewForm(parts, r.form, nil))
}

// DownloadChatPic sends a picture.
func (h *handlers) DownloadChatPic(ctx context.Context, r api.DownloadChatPicRequestObject) (api.DownloadChatPicResponseObject, error) {
	return h.attachment(ctx, files.Picture(), r.Params.Filename)
}

// DownloadMp3 sends music.
func (h *handlers) DownloadMp3(ctx context.Context, r api.DownloadMp3RequestObject) (api.DownloadMp3ResponseObject, error) {
	return h.attachment(ctx, files.Audio(), r.Params.Filename)
}

// DownloadMp4 sends a video.
func (h *handlers) DownloadMp4(ctx context.Context, r api.DownloadMp4RequestObject) (api.DownloadMp4ResponseObject, error) {
	return h.attachment(ctx, files.Video(), r.Params.Filename)
}

func (h *handlers) attachment(ctx context.Context, kind files.Kind, name string) (*download, error) {
	object, err := h.files.Open(ctx, kind, name)
	if err != nil {
		return nil, err
	}
	return &download{request: requestOf(ctx), object: object, header: map[string]string{
		"Content-Type":        "application/force-download",
		"Content-Disposition": `attachment; filename="` + name + "." + kind.Extension + `"`,
		"Cache-Control":       "private, no-cache", // kept, and asked for again: the token is checked each time
	}}, nil
}

// HeadPicURL returns a link to an avatar.
func (h *handlers) HeadPicURL(ctx context.Context, r api.HeadPicURLRequestObject) (api.HeadPicURLResponseObject, error) {
	owner, err := h.chat.AvatarOwner(ctx, r.Params.Username)
	if err != nil {
		return nil, err
	}
	object, _, err := h.files.OpenAvatar(ctx, owner.Account, owner.Username)
	if err != nil {
		return nil, err
	}
	link := h.files.SignAvatar(owner.Account, object)
	if err := object.Close(); err != nil {
		return nil, err
	}
	query := url.Values{"expires": {strconv.FormatInt(link.Expires, 10)}, "signature": {link.Signature}, "version": {link.Version}}
	return text(h.proxies.base(requestOf(ctx).http).String() + "/avatar/" + avatarPath(owner.Account) + "?" + query.Encode()), nil
}

// Avatar sends the picture that a signed link names.
func (h *handlers) Avatar(ctx context.Context, r api.AvatarRequestObject) (api.AvatarResponseObject, error) {
	account, err := avatarAccount(h.files, r.Account, r.Params.Expires, r.Params.Signature)
	if err != nil {
		return nil, err
	}
	owner, err := h.chat.AvatarOwner(ctx, account)
	if err != nil {
		return nil, err
	}
	object, kind, err := h.files.OpenAvatar(ctx, owner.Account, owner.Username)
	if err != nil {
		return nil, err
	}
	caching := "private, no-cache" // a link of an earlier picture: a browser asks each time whether there is another one
	if r.Params.Version != nil && *r.Params.Version == files.Version(object) {
		caching = fmt.Sprintf("private, max-age=%d, immutable", max(0, r.Params.Expires-time.Now().Unix()))
	}
	return &download{request: requestOf(ctx), object: object, header: map[string]string{"Content-Type": kind, "Cache-Control": caching}}, nil
}

// download is a file as an answer. net/http handles ranges and conditions.
type download struct {
	request *request
	object  *blob.Object
	header  map[string]string
}

func (d *download) visit(w http.ResponseWriter) (err error) {
	defer func() { err = errors.Join(err, d.object.Close()) }()
	for name, value := range d.header {
		w.Header().Set(name, value)
	}
	guard := &rangeGuard{ResponseWriter: &slowWriter{
		ResponseWriter: w, connection: http.NewResponseController(w), credit: d.request.transfers.credit(),
	}}
	if err := d.object.Serve(guard, d.request.http); err != nil {
		return err
	}
	if guard.refused {
		return fault.New(fault.RangeNotSatisfiable)
	}
	return nil
}

// VisitDownloadChatPicResponse and the similar methods below make a download the answer of every route that sends a file.
func (d *download) VisitDownloadChatPicResponse(w http.ResponseWriter) error { return d.visit(w) }

// VisitDownloadMp3Response is like VisitDownloadChatPicResponse.
func (d *download) VisitDownloadMp3Response(w http.ResponseWriter) error { return d.visit(w) }

// VisitDownloadMp4Response is like VisitDownloadChatPicResponse.
func (d *download) VisitDownloadMp4Response(w http.ResponseWriter) error { return d.visit(w) }

// VisitAvatarResponse is like VisitDownloadChatPicResponse.
func (d *download) VisitAvatarResponse(w http.ResponseWriter) error { return d.visit(w) }

// rangeGuard withholds net/http's answer to a range outside the file, so that an envelope can be sent instead.
type rangeGuard struct {
	http.ResponseWriter
	refused bool
}

// WriteHeader withholds a 416 and passes on any other status.
func (g *rangeGuard) WriteHeader(status int) {
	if status == http.StatusRequestedRangeNotSatisfiable {
		g.refused = true
		for _, name := range []string{"Content-Type", "Content-Disposition", "Cache-Control", "Content-Length", "ETag", "Last-Modified"} {
			g.Header().Del(name)
		}
		return
	}
	g.ResponseWriter.WriteHeader(status)
}

// Write drops the text of a 416.
func (g *rangeGuard) Write(p []byte) (int, error) {
	if g.refused {
		return len(p), nil
	}
	return g.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController find the connection.
func (g *rangeGuard) Unwrap() http.ResponseWriter { return g.ResponseWriter }

// text is a success of the file routes. The generated types don't name the charset, which Chinese needs.
type text string

func (t text) visit(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", "text/plain; charset=UTF-8")
	_, err := io.WriteString(w, string(t))
	return err
}

// VisitUploadHeadPicResponse and the similar methods below make a text the answer of every route that answers one.
func (t text) VisitUploadHeadPicResponse(w http.ResponseWriter) error { return t.visit(w) }

// VisitUploadChatPicResponse is like VisitUploadHeadPicResponse.
func (t text) VisitUploadChatPicResponse(w http.ResponseWriter) error { return t.visit(w) }

// VisitUploadMp3Response is like VisitUploadHeadPicResponse.
func (t text) VisitUploadMp3Response(w http.ResponseWriter) error { return t.visit(w) }

// VisitUploadMp4Response is like VisitUploadHeadPicResponse.
func (t text) VisitUploadMp4Response(w http.ResponseWriter) error { return t.visit(w) }

// VisitHeadPicURLResponse is like VisitUploadHeadPicResponse.
func (t text) VisitHeadPicURLResponse(w http.ResponseWriter) error { return t.visit(w) }
