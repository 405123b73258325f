package realtime

// set holds connections, of which there is mostly one, and sometimes very many. Not safe for concurrent use.
type set struct {
	only *connection // nil unless there is exactly one
	many *several    // nil unless there are more
}

// several are more than one connection, or have been.
type several struct {
	all    []*connection
	places map[*connection]int // in all; nil while there are few
}

// fewConnections is how many are found as fast without a map.
const fewConnections = 16

func (s *set) size() int {
	switch {
	case s.many != nil:
		return len(s.many.all)
	case s.only != nil:
		return 1
	}
	return 0
}

// each calls f with every connection of the set, which f must not change.
func (s *set) each(f func(*connection)) {
	if s.only != nil {
		f(s.only)
	}
	if s.many != nil {
		for _, c := range s.many.all {
			f(c)
		}
	}
}

func (s *set) add(c *connection) {
	switch {
	case s.many != nil:
		s.many.add(c)
	case s.only == nil:
		s.only = c
	case s.only != c:
		s.only, s.many = nil, &several{all: []*connection{s.only, c}}
	}
}

func (s *set) remove(c *connection) {
	if s.only == c {
		s.only = nil
	}
	if s.many != nil {
		s.many.remove(c)
		if len(s.many.all) == 0 {
			s.many = nil
		}
	}
}

func (s *several) find(c *connection) (place int, ok bool) {
	if s.places != nil {
		place, ok = s.places[c]
		return place, ok
	}
	for i, one := range s.all {
		if one == c {
			return i, true
		}
	}
	return 0, false
}

func (s *several) add(c *connection) {
	if _, ok := s.find(c); ok {
		return
	}
	s.all = append(s.all, c)
	if s.places == nil && len(s.all) > fewConnections {
		s.places = make(map[*connection]int, 2*len(s.all))
		for i, one := range s.all {
			s.places[one] = i
		}
	}
	if s.places != nil {
		s.places[c] = len(s.all) - 1
	}
}

func (s *several) remove(c *connection) {
	place, ok := s.find(c)
	if !ok {
		return
	}
	end := len(s.all) - 1
	last := s.all[end]
	s.all[place], s.all[end] = last, nil
	s.all = s.all[:end]
	if s.places != nil {
		s.places[last] = place
		delete(s.places, c)
	}
}
