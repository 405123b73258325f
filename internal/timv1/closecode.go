package timv1

import "tim/gen/frames"

// The close codes of tim.v1, as CloseCode in api/frames.yaml lists them: 4000 to 4499 tell the client to reconnect.
const (
	codeGoingAway     frames.CloseCode = 4000
	codeTooSlow       frames.CloseCode = 4001
	codeComeBackLater frames.CloseCode = 4002
	codeServerFault   frames.CloseCode = 4003
	codeSessionEnded  frames.CloseCode = 4500
	codeTokenExpired  frames.CloseCode = 4501
	codeMalformed     frames.CloseCode = 4502
)
