package realtime

// set holds connections, of which there are mostly one or two, and sometimes very many. Not safe for concurrent use.
type set struct {
	all    []*connection
	places map[*connection]int // in all; nil while there are few
}

// fewConnections is how many are found as fast without a map.
const fewConnections = 8

func (s *set) find(c *connection) (place int, ok bool) {
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

func (s *set) add(c *connection) {
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

func (s *set) remove(c *connection) {
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
	if end == 0 {
		*s = set{}
	}
}
