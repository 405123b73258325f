package fault

// Operations lists the operationIds for which the table has texts of their own.
func Operations() (ids []string) {
	for _, r := range table {
		for id := range r.on {
			ids = append(ids, id)
		}
	}
	return ids
}
