package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"syscall"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"tim/internal/account"
	"tim/internal/auth"
	"tim/internal/blob"
	"tim/internal/chat"
	"tim/internal/cluster"
	"tim/internal/doors"
	"tim/internal/fault"
	"tim/internal/feed"
	"tim/internal/files"
	"tim/internal/pace"
	"tim/internal/presence"
	"tim/internal/realtime"
	"tim/internal/rest"
	"tim/internal/store"
	"tim/internal/web"
)

const (
	startTimeout = 2 * time.Minute // includes the migrations of a large database
	// headerTimeout is how long a client may take for a request's header or a socket's handshake.
	headerTimeout = 10 * time.Second
	// requestTimeout is how long a client may take for a whole request, from its first byte; uploads extend it while they progress.
	requestTimeout = 30 * time.Second
	answerTimeout  = time.Minute // file routes extend it while they progress
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 32 << 10
	// coresPerLane is the number of cores for each lane of messages: few transactions at a time are larger and cost less for
	// each message.
	coresPerLane = 4
)

// Server is a running node. Start makes it. Its methods are for one goroutine, the one that called Start, except Addr.
type Server struct {
	settings Settings
	log      *slog.Logger
	registry *prometheus.Registry

	db    *store.DB
	lock  *store.NodeLock // its place among the nodes of the database; nil while that is lost
	key   []byte          // signs tokens
	name  string          // the identity of the database
	node  cluster.Node
	mark  func(ctx context.Context, id string) (string, error) // of its Redis; nil without
	blobs blob.Store
	files *files.Files
	auth  *auth.Auth
	chat  *chat.Service
	doors *doors.Doors
	pace  *pace.Pace // of what accounts send; nil for no limit

	feed     *feed.Feed
	presence *presence.Presence
	hub      *realtime.Hub
	lost     chan struct{} // events may have been lost
	damage   *damage

	refused  *rest.Refusals
	listener net.Listener
	public   *http.Server
	requests *inFlight
	admin    *http.Server
	draining context.Context //nolint:containedctx // ends when Stop begins
	drain    context.CancelFunc
	failed   chan error // receives the error of an HTTP server that stopped by itself
	closers  []func(context.Context) error
}

// Start opens the stores, builds the node and begins to serve. When it returns, the server listens. ctx bounds the start alone.
// The caller must call Stop.
func Start(ctx context.Context, settings Settings, log *slog.Logger) (*Server, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	s := &Server{settings: settings, log: log, damage: &damage{log: log}, registry: prometheus.NewRegistry(), lost: make(chan struct{}, 1), failed: make(chan error, 3)}
	s.draining, s.drain = context.WithCancel(context.Background())
	s.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	s.refused = rest.NewRefusals(log)
	for _, step := range []func(context.Context) error{s.openStores, s.openCluster, s.build, s.listen} {
		if err := step(ctx); err != nil {
			err = s.namingFullDisk(err)
			return nil, errors.Join(err, s.Stop(context.WithoutCancel(ctx)))
		}
	}
	return s, nil
}

// Addr returns the address on which the server listens.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Wait returns nil when ctx ends, or an error when the server can't go on.
func (s *Server) Wait(ctx context.Context) error {
	for {
		var lost <-chan struct{}
		if s.lock != nil {
			lost = s.lock.Lost()
		}
		select {
		case <-ctx.Done():
			return nil
		case err := <-s.failed:
			return err
		case <-lost:
			if err := s.rejoin(ctx); err != nil {
				return err
			}
		}
	}
}

// Stop drains the server: /readyz reports that it goes away, sockets are told to reconnect elsewhere, and requests are
// finished. When ctx ends, the rest is cut off. Stop may be called on a server that failed to start.
func (s *Server) Stop(ctx context.Context) error {
	s.drain()
	var errs []error
	for _, closer := range slices.Backward(s.closers) {
		errs = append(errs, closer(ctx))
	}
	s.closers = nil
	return errors.Join(errs...)
}

// onStop registers a function for Stop. The functions run in the reverse order.
func (s *Server) onStop(f func(context.Context) error) { s.closers = append(s.closers, f) }

func (s *Server) openStores(ctx context.Context) error {
	if err := os.MkdirAll(s.settings.DataDir, 0o700); err != nil {
		return fmt.Errorf("TIM_DATA_DIR: make the data folder: %w", err)
	}
	db, err := openDatabase(ctx, s.settings)
	if err != nil {
		return err
	}
	s.db = db
	s.onStop(func(context.Context) error { return db.Close() })
	s.log.Info("database opened", "server", db.Server())
	db.LogTo(s.log)
	s.registry.MustRegister(hostMetrics{db})
	if s.key, err = auth.Key(s.settings.JWTKey, filepath.Join(s.settings.DataDir, keyFile)); err != nil {
		return err
	}
	spec, err := s.nodeSpec()
	if err != nil {
		return err
	}
	if err := db.CheckNodes(ctx, spec); err != nil { // before it migrates the database under other nodes
		return withSetting(err)
	}
	if err := errors.Join(s.checkEmpty(ctx), s.checkWhole(ctx)); err != nil {
		return err
	}
	applied, found, err := db.MigrateAndReport(ctx)
	if err != nil {
		return err
	}
	for _, f := range found.Findings {
		s.log.Warn("rows of the old database: "+f.What, "count", f.Count, "rows", f.Rows)
	}
	if s.name, err = db.Identity(ctx); err != nil {
		return err
	}
	if len(applied) > 0 {
		s.log.Info("database migrated", "steps", len(applied))
	}
	s.blobs, err = openBlobs(ctx, s.settings, s.log)
	if err != nil {
		return err
	}
	s.onStop(func(context.Context) error { return s.blobs.Close() })
	return nil
}

func openDatabase(ctx context.Context, s Settings) (*store.DB, error) {
	if s.MySQLDSN != "" {
		db, err := store.OpenMySQL(ctx, s.MySQLDSN, s.Limit.SQLConnections)
		if err != nil {
			return nil, fmt.Errorf("TIM_MYSQL_DSN: %w", err)
		}
		return db, nil
	}
	if err := os.MkdirAll(s.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("TIM_DATA_DIR: make the data folder: %w", err)
	}
	if err := checkFolder(s.DataDir); err != nil {
		return nil, fmt.Errorf("TIM_DATA_DIR: %w", err)
	}
	return store.OpenSQLite(ctx, filepath.Join(s.DataDir, databaseFile))
}

func openBlobs(ctx context.Context, s Settings, log *slog.Logger) (blob.Store, error) {
	if s.S3Endpoint != "" {
		files, err := blob.NewS3(ctx, blob.S3Options{
			Endpoint: s.S3Endpoint, AccessKey: s.S3AccessKey, SecretKey: s.S3SecretKey, Bucket: s.S3Bucket,
			Prefix: s.S3Prefix, Region: s.S3Region, Style: s.S3Style, Logger: log,
		})
		if err != nil {
			return nil, fmt.Errorf("TIM_S3_ENDPOINT and its like: %w", err)
		}
		return files, nil
	}
	return blob.NewDir(filepath.Join(s.DataDir, filesFolder))
}

// openCluster builds this node's part in the cluster and the hub on it. Neither runs before build.
func (s *Server) openCluster(ctx context.Context) error {
	if s.settings.RedisURL == "" {
		s.node = cluster.NewMemory(cluster.Options{Log: s.log})
	} else {
		node, err := openRedis(ctx, s.settings, s.name, s.log)
		if err != nil {
			return err
		}
		s.node, s.mark = node, node.Mark
	}
	s.onStop(func(context.Context) error { return s.node.Close() })
	if err := s.joinNodes(ctx); err != nil {
		return err
	}
	s.feed = feed.New(s.node, s.log)
	s.presence = presence.New(s.node, s.feed, s.log)
	return nil
}

// catchUpSoon has the sockets catch up from the database, since events may have been lost. It never blocks.
func (s *Server) catchUpSoon() {
	select {
	case s.lost <- struct{}{}:
	default: // it is due already
	}
}

// origins says which pages may use the server, and which proxies are believed.
func (s *Server) origins() (rest.Origins, rest.Proxies, error) {
	proxies, err := rest.ParseProxies(s.settings.TrustedProxies, s.settings.PublicURL)
	if err != nil {
		return rest.Origins{}, proxies, err
	}
	origins, err := rest.ParseOrigins(s.settings.AllowedOrigins)
	origins.Own, origins.Refused = proxies, s.refused
	return origins, proxies, err
}

// openSockets makes the hub, once there is all that its sockets need.
func (s *Server) openSockets(ctx context.Context) error {
	origins, _, err := s.origins()
	if err != nil {
		return err
	}
	limit := s.settings.Limit
	s.hub, err = realtime.New(ctx, realtime.Options{
		Chat: s.chat, Auth: s.auth, Feed: s.feed, Presence: s.presence, Zone: s.settings.zone(), AllowOrigin: origins.Allow,
		FrameLimit: limit.FrameBytes, SendRate: limit.SendRate, SendBurst: limit.SendBurst, Pace: s.pace, AccountLimit: limit.AccountSockets, RosterLimit: limit.RosterNames,
		IsFull: store.IsFull, IsUnavailable: s.isUnavailable, Log: s.log, Metrics: s.registry,
	})
	if err != nil {
		return err
	}
	s.onStop(func(ctx context.Context) error { // the second time after listen's, the only time if the start failed before
		s.hub.Close(ctx)
		return nil
	})
	s.run(func(ctx context.Context) {
		for {
			select {
			case <-ctx.Done():
				return
			case <-s.lost:
				s.hub.CatchUp(ctx)
			}
		}
	})
	return nil
}

// run runs f on a goroutine until the stop, which ends its context and waits for it.
func (s *Server) run(f func(context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(ctx)
	}()
	s.onStop(func(context.Context) error {
		cancel()
		<-done
		return nil
	})
}

// build makes the use cases, connects them to REST and the sockets, and starts the node's part in the cluster.
func (s *Server) build(ctx context.Context) error {
	linkKey, err := auth.Derive(s.key, "tim avatar links")
	if err != nil {
		return err
	}
	passwords, err := auth.NewPasswords(s.settings.BcryptCost)
	if err != nil {
		return err
	}
	limit := s.settings.Limit
	if err := auth.MeetHashes(ctx, s.db, passwords); err != nil {
		return err
	}
	s.auth = auth.New(auth.Options{
		DB: s.db, Passwords: passwords, Key: s.key, Ended: s.feed.SessionEnded, Renewed: s.feed.TokenRenewed, Log: s.log,
		Lives: s.settings.Lives.forAuth(), MaxSessions: limit.Sessions,
		Failures: auth.Failures{
			PerPair:    s.node.Limit("login.pair", limit.LoginFailures, auth.AccountRefill),
			PerAccount: s.node.Limit("login.account", limit.AccountLoginFailures, auth.AccountRefill),
			PerAddress: s.node.Limit("login.address", limit.AddressLoginFailures, auth.AddressRefill),
		},
	})
	registrations := auth.Registrations{
		Passwords: passwords, PerAddress: s.node.Limit("registration", limit.Registrations, time.Hour/time.Duration(max(1, limit.Registrations))),
	}
	lanes := 1
	if s.settings.MySQLDSN != "" {
		lanes = max(1, runtime.GOMAXPROCS(0)/coresPerLane)
	}
	s.chat = chat.New(chat.Options{
		DB: s.db, Admit: registrations.Admit, HashPassword: registrations.Hash, Registration: chat.Registering(s.settings.Registration), Notify: s.feed.Notify, Online: s.presence.Online, Lanes: lanes,
		AllowStrangers: s.settings.AllowStrangers, VisibleLimit: limit.VisibleUsers, Reserved: account.Reserve(s.settings.Reserved),
		NewGroups: chat.JoinPolicy(s.settings.JoinPolicy), MostMembers: limit.GroupMembers, MostOwned: limit.GroupsOwned,
		MostCreated: limit.GroupsPerDay, MostFriends: limit.Friends,
	})
	s.onStop(func(context.Context) error {
		s.chat.Close()
		return nil
	})
	s.pace = pace.New(limit.SendRate, limit.SendBurst)
	s.run(s.fillLooks)
	if err := s.openSockets(ctx); err != nil {
		return err
	}
	e, err := s.routes(linkKey)
	if err != nil {
		return err
	}
	s.hub.Routes(e)
	s.node.Start(s.catchUpSoon)
	s.requests = &inFlight{handler: e}
	s.public = s.httpServer(s.requests)
	s.public.WriteTimeout = answerTimeout
	speakHTTP2(s.public)
	return nil
}

// httpServer returns a server whose clients can't keep it waiting.
func (s *Server) httpServer(handler http.Handler) *http.Server {
	return &http.Server{
		Handler: handler, ReadHeaderTimeout: headerTimeout, ReadTimeout: requestTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeaderBytes, ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
}

// maxStreams is how many requests one connection of HTTP/2 may have under way.
const maxStreams = 100

// speakHTTP2 lets proxies use HTTP/2 without TLS, by prior knowledge (RFC 9113 section 3.3). The timeouts of the server hold for
// each request of a connection; these hold for the connection. An upload may have 1 MB on its way, all those of a connection too.
// net/http ends connections that flood it with resets, continuations or control frames. Sockets need HTTP/1.1.
func speakHTTP2(server *http.Server) {
	server.Protocols = new(http.Protocols)
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	server.HTTP2 = &http.HTTP2Config{
		MaxConcurrentStreams: maxStreams, MaxReceiveBufferPerConnection: 1 << 20, MaxReceiveBufferPerStream: 1 << 20,
		SendPingTimeout: requestTimeout, PingTimeout: requestTimeout, WriteByteTimeout: requestTimeout,
	}
}

// fillAgain is when fillLooks tries again after the database was away.
const fillAgain = time.Minute

// fillLooks notes what the accounts of an older version look like, beside the other work, until it is done or the stop.
func (s *Server) fillLooks(ctx context.Context) {
	for {
		filled, err := s.chat.FillLooks(ctx)
		if filled > 0 {
			s.log.Info("noted what accounts look like", "accounts", filled)
		}
		if err == nil || ctx.Err() != nil {
			return
		}
		s.log.Warn("what accounts look like is noted later", "err", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(fillAgain):
		}
	}
}

func (s *Server) routes(linkKey []byte) (*echo.Echo, error) {
	origins, proxies, err := s.origins()
	if err != nil {
		return nil, err
	}
	docs, err := web.Docs()
	if err != nil {
		return nil, err
	}
	limit := s.settings.Limit
	s.openFiles(linkKey)
	if err := s.openDoors(proxies); err != nil {
		return nil, err
	}
	return rest.New(rest.Options{
		Chat: s.chat, Auth: s.auth, Docs: docs, Ready: s.ready, IsFull: store.IsFull, IsUnavailable: s.isUnavailable,
		Files:   s.files,
		Origins: origins, Proxies: proxies, Language: s.settings.language(), Always200: s.settings.Always200,
		BodyLimit: limit.BodyBytes, Pace: s.pace, Doors: s.doors, TransferRate: limit.TransferRate,
		Draining: s.draining, Log: s.log, Metrics: s.registry,
	})
}

// openDoors bounds the connections that the listener will take, so that some descriptors are left for all else.
func (s *Server) openDoors(proxies rest.Proxies) error {
	limit, files := s.settings.Limit, doors.OpenFiles()
	connections := doors.Within(limit.Connections, files)
	if connections != limit.Connections {
		s.log.Info("connections are bounded by the limit on open files (ulimit -n, LimitNOFILE=)", "connections", connections, "open_files_limit", files)
	}
	var err error
	s.doors, err = doors.New(doors.Options{
		Connections: connections, PerAddress: limit.AddressConnections, Trusted: proxies.Trusts, Files: files, Log: s.log, Metrics: s.registry,
		Message: fault.New(fault.TooManyConnections).Text("").In(s.settings.language()),
	})
	return err
}

// listen begins to serve. Stop goes in the reverse order: sockets are told, requests are finished, the listener closes.
func (s *Server) listen(ctx context.Context) error {
	var err error
	s.listener, err = new(net.ListenConfig).Listen(ctx, "tcp", s.settings.Listen)
	if err != nil {
		return fmt.Errorf("TIM_LISTEN: %w", err)
	}
	s.onStop(func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, s.settings.DrainTimeout)
		defer cancel()
		s.hub.Close(ctx)
		s.requests.wait(ctx)
		if err := s.requests.shutDown(ctx, s.public); err != nil {
			s.log.Warn("requests were cut", "err", err)
		}
		return nil
	})
	s.run(s.files.Sweep)
	s.run(s.watchRoom)
	s.public.ConnContext = s.doors.Context
	go s.serve(s.public, s.doors.Listen(s.listener))
	if s.settings.RedisURL == "" {
		s.run(s.watchEnded) // what commands do in other processes
	}
	s.run(s.sweepSessions)
	if err := s.listenAdmin(ctx); err != nil {
		return err
	}
	debug.FreeOSMemory() // gives back what only the start needed
	s.log.Info("listening", "address", s.Addr(), "docs", docsURL(s.listener.Addr()))
	return nil
}

func (s *Server) serve(server *http.Server, listener net.Listener) {
	if err := server.Serve(listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
		s.failed <- err
	}
}

// listenAdmin serves metrics and profiles. If the default address is in use, the server starts without them: a second server on
// the same machine would otherwise not start.
func (s *Server) listenAdmin(ctx context.Context) error {
	if s.settings.AdminListen == "" {
		return nil
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", s.settings.AdminListen)
	if errors.Is(err, syscall.EADDRINUSE) && s.settings.AdminListen == DefaultAdminListen {
		s.log.Warn("no metrics: the default address is taken; set TIM_ADMIN_LISTEN", "address", s.settings.AdminListen)
		return nil
	}
	if err != nil {
		return fmt.Errorf("TIM_ADMIN_LISTEN: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	s.admin = s.httpServer(mux)
	s.admin.Addr = listener.Addr().String()
	s.onStop(func(context.Context) error { return s.admin.Close() })
	s.admin.Handler = rest.Bodiless(newAdminHosts(s.settings.AdminListen, listener.Addr(), s.admin.Handler))
	go s.serve(s.admin, listener)
	return nil
}

func docsURL(address net.Addr) string {
	_, port, err := net.SplitHostPort(address.String())
	if err != nil {
		return ""
	}
	return "http://localhost:" + port + "/docs"
}
