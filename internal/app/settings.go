// Package app puts the server together: settings, construction, and the order of start and stop. It is the only package that
// knows whether a node runs on SQLite and a folder or on MySQL, Redis and S3.
//
//	settings.go  the settings, their defaults and bounds
//	server.go    construction, start and stop of a node
//	nodes.go     which nodes run on one database, and what they must share
//	admin.go     whom the listener for metrics answers
//	misspelt.go  variables that look like settings
//	damage.go    a database that is damaged, or missing from its folder
//	hosts.go     metrics of several database servers
//	disk.go      files, their metrics, and the room on their disk; readiness
//	drain.go     the requests under way, which a stop waits for
//	commands.go  what the command line calls
//	ended.go     sessions that `tim passwd` has ended, and those that have expired
//	version.go   the release, the commit and its date
package app

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"time"
	_ "time/tzdata" // TIM_TIMEZONE works on machines without a database of time zones

	"tim/internal/auth"
	"tim/internal/blob"
	"tim/internal/cluster"
	"tim/internal/fault"
	"tim/internal/rest"
)

// Settings of the server. Each can be given by environment variable or by flag. Validate checks what their types don't.
//
//nolint:tagalign // the tags read as sentences; as columns they would be wider than any screen
type Settings struct {
	Listen         string        `help:"Address of the server." env:"TIM_LISTEN" default:":8081"`
	AdminListen    string        `help:"Address of metrics (/metrics) and profiles (/debug/pprof/); empty for none." env:"TIM_ADMIN_LISTEN" default:"${admin_listen}"`
	DataDir        string        `help:"Folder of the embedded database, files and the signing key." env:"TIM_DATA_DIR" default:"./data" type:"path"`
	MySQLDSN       string        `name:"mysql-dsn" help:"MySQL or MariaDB instead of the embedded database: user:password@tcp(host:3306)/database; several hosts, by comma, are members of one cluster, and the first that can be used is." env:"TIM_MYSQL_DSN" placeholder:"DSN"`
	RedisURL       string        `name:"redis-url" help:"Redis, for several nodes: redis://host:6379; several addresses, by comma, are a cluster; redis+sentinel://host:26379,host:26379/master with Sentinels." env:"TIM_REDIS_URL" placeholder:"URL"`
	S3Endpoint     string        `name:"s3-endpoint" help:"MinIO or any S3 instead of a folder for files: https://host, http://host:9000." env:"TIM_S3_ENDPOINT" placeholder:"URL"`
	S3AccessKey    string        `name:"s3-access-key" help:"Its access key." env:"TIM_S3_ACCESS_KEY" placeholder:"KEY"`
	S3SecretKey    string        `name:"s3-secret-key" help:"Its secret key." env:"TIM_S3_SECRET_KEY" placeholder:"SECRET"`
	S3Bucket       string        `name:"s3-bucket" help:"Its bucket, made if it isn't there." env:"TIM_S3_BUCKET" default:"tim"`
	S3Region       string        `name:"s3-region" help:"The bucket's region; unset: the server is asked." env:"TIM_S3_REGION" placeholder:"REGION"`
	S3Style        string        `name:"s3-style" help:"How the bucket is addressed: path (https://host/bucket), virtual (https://bucket.host), or auto (virtual for Amazon and Aliyun)." env:"TIM_S3_STYLE" enum:"auto,path,virtual" default:"auto"`
	S3Prefix       string        `name:"s3-prefix" help:"Folder in the bucket, like chat/files; unset: the bucket's top." env:"TIM_S3_PREFIX" placeholder:"FOLDER"`
	MinFreeBytes   int64         `help:"Bytes, at most a tenth of the disk, that uploads leave free on the disk of the folder for files; 0 for none." env:"TIM_MIN_FREE_BYTES" default:"268435456"`
	FileGrace      time.Duration `help:"How long a file stays that no message names; 0: for ever." env:"TIM_FILE_GRACE" default:"168h"`
	JWTKey         string        `name:"jwt-key" help:"Key that signs tokens, at least 32 bytes, the same on all nodes; made once in the data folder when unset." env:"TIM_JWT_KEY" placeholder:"KEY"`
	BcryptCost     int           `help:"Cost of password hashes, 4 to 31; each step doubles it." env:"TIM_BCRYPT_COST" default:"10"`
	PublicURL      string        `name:"public-url" help:"The server's address as browsers reach it, with a path where it has one; unset: the request's Host." env:"TIM_PUBLIC_URL" placeholder:"URL"`
	AllowedOrigins []string      `help:"Origins whose pages may use the server: https://chat.example.org, localhost (any port), or * for all." env:"TIM_ALLOWED_ORIGINS" default:"localhost"`
	TrustedProxies []string      `help:"Addresses or ranges of proxies whose X-Forwarded-For, -Proto, -Host and -Port count." env:"TIM_TRUSTED_PROXIES" placeholder:"CIDR"`
	Registration   string        `help:"Who may register: open (anybody), invite (with a code of tim invite) or closed (accounts by tim adduser alone)." env:"TIM_REGISTRATION" enum:"open,invite,closed" default:"open"`
	Reserved       []string      `name:"reserved-accounts" help:"Accounts that nobody may register, nor any that looks like one of them; tim adduser may make them." env:"TIM_RESERVED_ACCOUNTS" default:"admin,administrator,root,system,support,service,security,moderator,official,staff,operator,webmaster,管理员,管理員,系统,系統,客服,官方"`
	JoinPolicy     string        `name:"group-join-policy" help:"Who may join new groups by itself: open (anybody), invite or closed (nobody: the owner adds members)." env:"TIM_GROUP_JOIN_POLICY" enum:"open,invite,closed" default:"open"`
	AllowStrangers bool          `help:"Let accounts that are no friends write to each other." env:"TIM_ALLOW_STRANGERS"`
	Always200      bool          `name:"always-200" help:"Answer HTTP 200 to every /Tim request and in the texts of the file routes, as the original did." env:"TIM_ALWAYS_200"`
	Language       string        `help:"Of messages, unless a request asks otherwise: zh or en." env:"TIM_LANGUAGE" enum:"zh,en" default:"zh"`
	Timezone       string        `help:"Zone of the time in messages and file names, like Asia/Shanghai." env:"TIM_TIMEZONE" default:"Local"`
	LogFormat      string        `help:"text or json." env:"TIM_LOG_FORMAT" enum:"text,json" default:"text"`
	LogLevel       string        `help:"debug, info, warn or error." env:"TIM_LOG_LEVEL" enum:"debug,info,warn,error" default:"info"`
	DrainTimeout   time.Duration `help:"How long a stop may take." env:"TIM_DRAIN_TIMEOUT" default:"20s"`
	Lives          Lives         `embed:"" group:"Tokens and sessions"`
	Limit          Limits        `embed:"" prefix:"limit-" envprefix:"TIM_LIMIT_" group:"Limits (0 for none)"`
}

// Lives of tokens and sessions.
//
//nolint:tagalign // as Settings
type Lives struct {
	TokenLife       time.Duration `help:"How long a token is valid." env:"TIM_TOKEN_LIFE" default:"1h"`
	TokenGrace      time.Duration `help:"How long a token is valid after its renewal, for requests under way; at most TIM_TOKEN_LIFE." env:"TIM_TOKEN_GRACE" default:"1m"`
	SessionIdle     time.Duration `help:"How long a session lives after its last use." env:"TIM_SESSION_IDLE" default:"720h"`
	SessionLifetime time.Duration `help:"How long a session lives after its login, however it is used." env:"TIM_SESSION_LIFETIME" default:"8760h"`
}

// Limits of one node. In each, 0 means none. Sizes are in bytes.
//
//nolint:tagalign // as Settings
type Limits struct {
	FrameBytes           int64   `help:"A client's frame on a socket." env:"FRAME_BYTES" default:"65536"`
	BodyBytes            int64   `help:"A JSON body." env:"BODY_BYTES" default:"65536"`
	AvatarBytes          int64   `help:"An avatar." env:"AVATAR_BYTES" default:"5242880"`
	PictureBytes         int64   `help:"A picture." env:"PICTURE_BYTES" default:"10485760"`
	AudioBytes           int64   `help:"Music." env:"AUDIO_BYTES" default:"52428800"`
	VideoBytes           int64   `help:"A video." env:"VIDEO_BYTES" default:"1073741824"`
	Connections          int     `help:"Connections at once, sockets included; never more than the limit on open files leaves room for." env:"CONNECTIONS" default:"100000"`
	AddressConnections   int     `help:"Connections at once of one address (IPv6: /64) that haven't shown a good token; of a trusted proxy's clients, requests." env:"ADDRESS_CONNECTIONS" default:"1000"`
	AccountSockets       int     `help:"Sockets at once of one account on this node; one more closes the oldest." env:"ACCOUNT_SOCKETS" default:"500"`
	TransferRate         float64 `help:"Bytes a second below which an upload or download is cut off; a client that was faster before may pause for 30 s." env:"TRANSFER_RATE" default:"2048"`
	AccountBytes         int64   `help:"All files of one account." env:"ACCOUNT_BYTES" default:"5368709120"`
	SendRate             float64 `help:"Frames a second that an account may send to this node on average, by all of its sockets and REST; beyond it the server reads slower, or refuses." env:"SEND_RATE" default:"100"`
	SendBurst            int     `help:"Frames that an account may send at once." env:"SEND_BURST" default:"200"`
	VisibleUsers         int     `help:"Members of its groups that an account sees online." env:"VISIBLE_USERS" default:"200"`
	RosterNames          int     `help:"Members online up to which a group's sockets get their names; beyond it the number." env:"ROSTER_NAMES" default:"200"`
	LoginFailures        int     `help:"Failed logins at once on one account from one address (IPv6: /64); after them one more every 30 s." env:"LOGIN_FAILURES" default:"10"`
	AccountLoginFailures int     `help:"Failed logins at once on one account from all addresses from which it hasn't logged in before; after them one more every 30 s." env:"ACCOUNT_LOGIN_FAILURES" default:"100"`
	AddressLoginFailures int     `help:"Failed logins at once from one address on accounts that haven't logged in from there before; after them one more a second." env:"ADDRESS_LOGIN_FAILURES" default:"100"`
	Registrations        int     `help:"Registrations an hour from one address, so many at once at first. It counts passwords that are hashed: accounts that are made, not refusals of a taken account or a bad field, and none by invitation." env:"REGISTRATIONS" default:"20"`
	GroupMembers         int     `help:"Members of a group. Larger groups keep theirs." env:"GROUP_MEMBERS" default:"5000"`
	GroupsOwned          int     `help:"Groups that an account owns." env:"GROUPS_OWNED" default:"200"`
	GroupsPerDay         int     `help:"Groups that an account creates in a day (UTC)." env:"GROUPS_PER_DAY" default:"50"`
	Friends              int     `help:"Friends of an account. Who has more keeps them." env:"FRIENDS" default:"5000"`
	Sessions             int     `help:"Sessions of an account; beyond it a login ends the one that was used longest ago." env:"SESSIONS" default:"50"`
	SQLConnections       int     `name:"sql-connections" help:"Connections to MySQL at once." env:"SQL_CONNECTIONS" default:"32"`
}

// DefaultAdminListen is the default address for metrics.
const DefaultAdminListen = "127.0.0.1:8082"

// Validate returns an error that names every setting with a value that can't work, and what it must be. kong calls it.
func (s *Settings) Validate() error {
	return errors.Join(
		address("TIM_LISTEN", s.Listen), s.validateAdmin(), s.validateNodes(), s.validateAuth(), s.Lives.validate(), s.validateTexts(), s.validateFiles(), s.Limit.validate(),
	)
}

func (s *Settings) validateAdmin() error {
	if s.AdminListen == "" {
		return nil
	}
	return address("TIM_ADMIN_LISTEN", s.AdminListen)
}

func address(name, value string) error {
	if _, _, err := net.SplitHostPort(value); err != nil {
		return fmt.Errorf("%s is %q and must be HOST:PORT or :PORT", name, value)
	}
	return nil
}

func (s *Settings) validateNodes() error {
	var errs []error
	if s.RedisURL != "" && s.MySQLDSN == "" {
		errs = append(errs, errors.New("TIM_REDIS_URL joins several nodes, which need TIM_MYSQL_DSN too; without it leave both unset"))
	}
	if s.RedisURL != "" && s.MySQLDSN != "" {
		if s.JWTKey == "" {
			errs = append(errs, errors.New("TIM_JWT_KEY must be set, the same on all nodes, when TIM_MYSQL_DSN and TIM_REDIS_URL are"))
		}
		if s.S3Endpoint == "" {
			errs = append(errs, errors.New("TIM_S3_ENDPOINT must be set when TIM_MYSQL_DSN and TIM_REDIS_URL are: all nodes need the same files"))
		}
	}
	return errors.Join(append(errs, s.validateServers())...)
}

// validateServers checks the addresses of S3 and Redis. That of Redis may contain a password, so no error repeats it.
func (s *Settings) validateServers() error {
	var errs []error
	if s.S3Endpoint != "" && !isURL(s.S3Endpoint, "http", "https") {
		errs = append(errs, fmt.Errorf("TIM_S3_ENDPOINT is %q and must be like https://s3.example.org or http://10.0.0.7:9000", s.S3Endpoint))
	}
	if s.RedisURL != "" {
		if err := cluster.CheckURLs(s.RedisURL); err != nil {
			errs = append(errs, fmt.Errorf("TIM_REDIS_URL must be like redis://10.0.0.7:6379, several such, separated by commas, or like %s: %w", cluster.SentinelForm, err))
		}
	}
	if s.S3Endpoint != "" && (s.S3AccessKey == "" || s.S3SecretKey == "" || s.S3Bucket == "") {
		errs = append(errs, errors.New("TIM_S3_ACCESS_KEY, TIM_S3_SECRET_KEY and TIM_S3_BUCKET must be set when TIM_S3_ENDPOINT is"))
	}
	return errors.Join(errs...)
}

// validateFiles checks what files are stored with.
func (s *Settings) validateFiles() error {
	var errs []error
	if s.MinFreeBytes < 0 {
		errs = append(errs, fmt.Errorf("TIM_MIN_FREE_BYTES is %d and must be 0 (for none) or more", s.MinFreeBytes))
	}
	if s.FileGrace < 0 {
		errs = append(errs, fmt.Errorf("TIM_FILE_GRACE is %s and must be 0 (for ever) or more, like 168h", s.FileGrace))
	}
	if err := blob.CheckPrefix(s.S3Prefix); err != nil {
		errs = append(errs, fmt.Errorf("TIM_S3_PREFIX: %w", err))
	}
	return errors.Join(errs...)
}

func isURL(text string, schemes ...string) bool {
	u, err := url.Parse(text)
	return err == nil && slices.Contains(schemes, u.Scheme) && u.Host != ""
}

func (s *Settings) validateAuth() error {
	var errs []error
	if s.JWTKey != "" {
		if err := auth.CheckKey(s.JWTKey); err != nil {
			errs = append(errs, fmt.Errorf("TIM_JWT_KEY %w", err))
		}
	}
	if s.BcryptCost < 4 || s.BcryptCost > 31 {
		errs = append(errs, fmt.Errorf("TIM_BCRYPT_COST is %d and must be 4 to 31", s.BcryptCost))
	}
	if _, err := rest.ParseOrigins(s.AllowedOrigins); err != nil {
		errs = append(errs, fmt.Errorf("TIM_ALLOWED_ORIGINS: %w", err))
	}
	if _, err := rest.ParseProxies(s.TrustedProxies, ""); err != nil {
		errs = append(errs, fmt.Errorf("TIM_TRUSTED_PROXIES: %w", err))
	}
	return errors.Join(errs...)
}

// validate checks how long tokens and sessions live. Tokens have whole seconds.
func (s *Lives) validate() error {
	var errs []error
	if s.TokenLife < time.Second {
		errs = append(errs, fmt.Errorf("TIM_TOKEN_LIFE is %s and must be at least 1s", s.TokenLife))
	}
	if s.TokenGrace <= 0 {
		errs = append(errs, fmt.Errorf("TIM_TOKEN_GRACE is %s and must be positive, like 1m", s.TokenGrace))
	}
	if s.SessionIdle < s.TokenLife {
		errs = append(errs, fmt.Errorf("TIM_SESSION_IDLE is %s and must be at least TIM_TOKEN_LIFE, which is %s", s.SessionIdle, s.TokenLife))
	}
	if s.SessionLifetime < s.TokenLife {
		errs = append(errs, fmt.Errorf("TIM_SESSION_LIFETIME is %s and must be at least TIM_TOKEN_LIFE, which is %s", s.SessionLifetime, s.TokenLife))
	}
	return errors.Join(errs...)
}

func (s *Lives) forAuth() auth.Lives {
	return auth.Lives{Token: s.TokenLife, Grace: s.TokenGrace, Idle: s.SessionIdle, Lifetime: s.SessionLifetime}
}

func (s *Settings) validateTexts() error {
	var errs []error
	if _, err := rest.ParsePublicURL(s.PublicURL); err != nil {
		errs = append(errs, fmt.Errorf("TIM_PUBLIC_URL: %w", err))
	}
	if _, err := time.LoadLocation(s.Timezone); err != nil {
		errs = append(errs, fmt.Errorf("TIM_TIMEZONE is %q and must be a zone like Asia/Shanghai, or Local", s.Timezone))
	}
	if s.DrainTimeout <= 0 {
		errs = append(errs, fmt.Errorf("TIM_DRAIN_TIMEOUT is %s and must be positive, like 20s", s.DrainTimeout))
	}
	return errors.Join(errs...)
}

func (l *Limits) validate() error {
	var errs []error
	for name, value := range map[string]float64{
		"FRAME_BYTES": float64(l.FrameBytes), "BODY_BYTES": float64(l.BodyBytes), "AVATAR_BYTES": float64(l.AvatarBytes),
		"PICTURE_BYTES": float64(l.PictureBytes), "AUDIO_BYTES": float64(l.AudioBytes), "VIDEO_BYTES": float64(l.VideoBytes), "ACCOUNT_BYTES": float64(l.AccountBytes),
		"CONNECTIONS": float64(l.Connections), "ADDRESS_CONNECTIONS": float64(l.AddressConnections), "ACCOUNT_SOCKETS": float64(l.AccountSockets),
		"TRANSFER_RATE": l.TransferRate, "SEND_RATE": l.SendRate, "SEND_BURST": float64(l.SendBurst), "VISIBLE_USERS": float64(l.VisibleUsers),
		"ACCOUNT_LOGIN_FAILURES": float64(l.AccountLoginFailures), "REGISTRATIONS": float64(l.Registrations),
		"ROSTER_NAMES": float64(l.RosterNames), "GROUP_MEMBERS": float64(l.GroupMembers), "GROUPS_OWNED": float64(l.GroupsOwned),
		"GROUPS_PER_DAY": float64(l.GroupsPerDay), "FRIENDS": float64(l.Friends), "LOGIN_FAILURES": float64(l.LoginFailures),
		"ADDRESS_LOGIN_FAILURES": float64(l.AddressLoginFailures), "SESSIONS": float64(l.Sessions), "SQL_CONNECTIONS": float64(l.SQLConnections),
	} {
		if value < 0 {
			errs = append(errs, fmt.Errorf("TIM_LIMIT_%s is %g and must be 0 (for none) or more", name, value))
		}
	}
	return errors.Join(errs...)
}

func (s *Settings) zone() *time.Location {
	zone, err := time.LoadLocation(s.Timezone)
	if err != nil { // Validate has checked it
		return time.Local
	}
	return zone
}

func (s *Settings) language() fault.Language { return fault.Language(s.Language) }
