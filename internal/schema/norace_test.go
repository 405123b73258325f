//go:build !race

package schema_test

// instrumented says that everything takes many times as long.
const instrumented = false
