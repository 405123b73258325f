package feed

// set holds subscribers, each once. Most topics are an account's own and have one subscriber, which needs no memory beside
// the set's; a map is made only beyond 16. Not safe for concurrent use.
type set struct {
	only Subscriber
	many *several
}

// several is a set of more than one.
type several struct {
	all    []Subscriber
	places map[Subscriber]int // of each in all; nil while there are few
}

// fewSubscribers is up to how many a search in a list is as fast as a map.
const fewSubscribers = 16

func (s *set) size() int {
	switch {
	case s.many != nil:
		return len(s.many.all)
	case s.only != nil:
		return 1
	}
	return 0
}

// each calls f with every subscriber of the set, which f must not change.
func (s *set) each(f func(Subscriber)) {
	if s.only != nil {
		f(s.only)
	}
	if s.many != nil {
		for _, one := range s.many.all {
			f(one)
		}
	}
}

func (s *set) add(one Subscriber) {
	switch {
	case s.many != nil:
		s.many.add(one)
	case s.only == nil:
		s.only = one
	case s.only != one:
		s.only, s.many = nil, &several{all: []Subscriber{s.only, one}}
	}
}

func (s *set) remove(one Subscriber) {
	if s.only == one {
		s.only = nil
	}
	if s.many != nil {
		s.many.remove(one)
		if len(s.many.all) == 0 {
			s.many = nil
		}
	}
}

func (s *several) find(one Subscriber) (place int, ok bool) {
	if s.places != nil {
		place, ok = s.places[one]
		return place, ok
	}
	for i, other := range s.all {
		if other == one {
			return i, true
		}
	}
	return 0, false
}

func (s *several) add(one Subscriber) {
	if _, ok := s.find(one); ok {
		return
	}
	s.all = append(s.all, one)
	if s.places == nil && len(s.all) > fewSubscribers {
		s.places = make(map[Subscriber]int, 2*len(s.all))
		for i, other := range s.all {
			s.places[other] = i
		}
	}
	if s.places != nil {
		s.places[one] = len(s.all) - 1
	}
}

func (s *several) remove(one Subscriber) {
	place, ok := s.find(one)
	if !ok {
		return
	}
	end := len(s.all) - 1
	last := s.all[end]
	s.all[place], s.all[end] = last, nil
	s.all = s.all[:end]
	if s.places != nil {
		s.places[last] = place
		delete(s.places, one)
	}
}
