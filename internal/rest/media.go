package rest

import (
	"mime"
	"net/http"
	"strings"

	"tim/internal/fault"
)

// checkCoding refuses a compressed body, and says in the answer what would be taken; RFC 9110 section 15.5.16. Compression is not
// undone here: bodies are small or compressed files, and a limit on their bytes would no longer be one on the work.
func checkCoding(request, answer http.Header) error {
	for _, coding := range entries(request["Content-Encoding"]) {
		if !strings.EqualFold(coding, "identity") {
			answer.Set("Accept-Encoding", "identity")
			return fault.Invalid(fault.UnsupportedEncoding, "Content-Encoding", "must be identity, or missing")
		}
	}
	return nil
}

// checkJSONType refuses what isn't JSON in UTF-8 by its Content-Type. JSON has no other charset (RFC 8259 section 8.1), but clients
// name it, and others send it in one of their own.
func checkJSONType(header http.Header) error {
	media, parameters, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil || media != "application/json" {
		return fault.Invalid(fault.UnsupportedMediaType, "Content-Type", "must be application/json")
	}
	switch charset, named := parameters["charset"]; strings.ToLower(charset) {
	case "utf-8", "utf8", "us-ascii":
	default:
		if named {
			return fault.Invalid(fault.UnsupportedMediaType, "Content-Type", "must be application/json in UTF-8")
		}
	}
	return nil
}

// mediaOf is the type of a body by its Content-Type, in small letters and without parameters, "" if there is none.
func mediaOf(header http.Header) string {
	media, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return media
}
