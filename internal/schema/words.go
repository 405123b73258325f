package schema

import (
	"fmt"
	"strings"
)

// What is said about a value, always as the rest of a sentence that begins with its field's name.
const (
	Missing        = "is missing"
	NotNull        = "must not be null"
	NotEmpty       = "must not be empty"
	Control        = "must not be empty or hold control characters"
	VisibleASCII   = "must have visible ASCII characters alone"
	HalfSurrogate  = "must not hold half of a surrogate pair"
	TooDeep        = "is nested too deeply"
	TooManyFields  = "has too many fields"
	UnknownField   = "is not a field that it can have"
	TooLargeNumber = "must be a number of 64 bits"
	OtherForm      = "must have another form"

	NotUTF8   = "must be UTF-8"
	EndsEarly = "is no JSON, or ends too early"
	OneValue  = "must end after one JSON value"
)

// NoJSON says where a text stops being JSON.
func NoJSON(at int) string { return fmt.Sprintf("is no JSON at byte %d", at) }

// Must says what a value must be: "a string".
func Must(kind string) string { return "must be " + kind }

// Described says what a value must be by the description in its schema.
func Described(description string) string {
	return "must be " + strings.TrimSuffix(strings.TrimSpace(description), ".")
}

// OneOf lists the values that are allowed.
func OneOf(values ...string) string { return "must be one of " + strings.Join(values, ", ") }

// ExactlyOne lists fields of which exactly one must be there.
func ExactlyOne(fields ...string) string {
	return "must have exactly one of " + strings.Join(fields, " and ")
}

// NotWith names a field beside which another must not be there.
func NotWith(field string) string { return "must not be given together with " + field }

// TooShort says how many characters a text must have.
func TooShort(least uint64) string {
	if least == 1 {
		return NotEmpty
	}
	return fmt.Sprintf("must have at least %d characters", least)
}

// TooLong says how many characters a text may have.
func TooLong(most uint64) string { return fmt.Sprintf("must have at most %d characters", most) }

// TooFew says how many elements an array must have.
func TooFew(least uint64) string { return fmt.Sprintf("must have at least %d elements", least) }

// TooMany says how many elements an array may have.
func TooMany(most uint64) string { return fmt.Sprintf("must have at most %d elements", most) }

// Integer says which integers are allowed.
func Integer(low, high int64) string {
	return fmt.Sprintf("must be an integer from %d to %d", low, high)
}

// AnyInteger is said where there are no bounds but those of its bits.
func AnyInteger() string { return "must be an integer" }

// Real says which numbers are allowed.
func Real(low, high float64) string { return fmt.Sprintf("must be a number from %v to %v", low, high) }

// AnyReal is said where there are no bounds but those of its bits.
func AnyReal() string { return "must be a number" }
