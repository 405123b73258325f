package app

import "github.com/labstack/echo/v4"

// Router returns the running server's routes, for the tests that compare them with the specs, and for the one that adds
// a route which panics.
func (s *Server) Router() *echo.Echo { return s.requests.handler.(*echo.Echo) }

// AdminAddr is the address of the running server's metrics.
func (s *Server) AdminAddr() string { return s.admin.Addr }
