package app

import "github.com/labstack/echo/v4"

// Router returns the running server's routes, for tests that compare them with the specs, and for one that adds a route that
// panics.
func (s *Server) Router() *echo.Echo { return s.requests.handler.(*echo.Echo) }

// AdminAddr returns the address of the running server's metrics.
func (s *Server) AdminAddr() string { return s.admin.Addr }
