// A client of Tim on the code that openapi-generator's kotlin (okhttp and moshi, its defaults) makes of api/openapi.yaml.
//
//     mvn compile exec:java -Dexec.args="SERVER TOMORROW"
//
// SERVER is a Tim server, TOMORROW one that knows more than the spec: see ../tomorrow.mjs.

import kotlin.system.exitProcess
import org.openapitools.client.apis.AccountsApi
import org.openapitools.client.apis.FriendsApi
import org.openapitools.client.apis.GroupsApi
import org.openapitools.client.apis.MessagesApi
import org.openapitools.client.apis.SessionsApi
import org.openapitools.client.infrastructure.ApiClient
import org.openapitools.client.infrastructure.ClientError
import org.openapitools.client.infrastructure.ClientException
import org.openapitools.client.infrastructure.Serializer
import org.openapitools.client.models.Credentials
import org.openapitools.client.models.Failure
import org.openapitools.client.models.LoginPart
import org.openapitools.client.models.ProfileChanges
import org.openapitools.client.models.Registration
import org.openapitools.client.models.SendBody
import org.openapitools.client.models.SendRequest
import org.openapitools.client.models.Target

fun expect(good: Boolean, what: Any?) {
    if (!good) throw AssertionError(what)
}

/** The reason of the refusal that a call must end in. */
fun refusal(call: () -> Unit): String {
    try {
        call()
    } catch (e: ClientException) {
        val body = (e.response as ClientError<*>).body as String
        return Serializer.moshi.adapter(Failure::class.java).fromJson(body)!!.reason
    }
    throw AssertionError("not refused")
}

/** One account's view of a server. */
class Client(server: String) {
    val accounts = AccountsApi(server)
    val friends = FriendsApi(server)
    val groups = GroupsApi(server)
    val messages = MessagesApi(server)
    val sessions = SessionsApi(server)

    fun logIn(account: String, password: String): LoginPart {
        val (user, token) = accounts.userLogin(Credentials(account, password)).data
        expect(token.expires!! > System.currentTimeMillis(), token)
        ApiClient.apiKey["token"] = token.token!!
        return user
    }
}

/** The generator makes one class of the kinds of bodies: what a kind hasn't is null, and left out on the wire. */
fun text(words: String) = SendBody(kind = "text", text = words, file = null, latitude = null, longitude = null, target = null, `data` = null)

fun place(latitude: Double, longitude: Double, title: String) =
    SendBody(kind = "location", text = null, file = null, latitude = latitude, longitude = longitude, target = null, `data` = null, title = title)

fun talk(server: String) {
    val alice = "kotlin.alice"
    val bob = "kotlin.bob"
    val c = Client(server)
    for (account in listOf(alice, bob)) {
        val made = c.accounts.userRegister(Registration(account, "123456", account.uppercase(), 20, "female"))
        expect(made.code == 200 && made.data.account == account, made)
    }
    expect(refusal { c.logIn(alice, "wrong!") } == "wrong_credentials", "a wrong password")
    expect(c.logIn(alice, "123456").account == alice, "the login")

    expect(c.friends.addFriend(alice, bob).code == 200, "befriended")
    expect(c.friends.getFriends(alice).map { it.account to it.onlineStatus } == listOf(bob to 0), "the friends")
    val group = c.groups.createGroup(alice, "kotlin climbers").`data`.groupID
    expect(c.groups.getGroups(alice).`data`.map { it.groupID } == listOf(group), "the groups")
    expect(c.groups.addMember(alice, group, bob).code == 200, "added")
    expect(c.groups.getGroupMembers(alice, group).`data`.size == 2, "the members")

    repeat(2) {
        val sent = c.messages.sendMessage(SendRequest(Target(user = bob, group = null), "1", text("hello"))).`data`
        expect(sent.seq == 1L && sent.conversation.user == bob && sent.conversation.group == null, sent)
    }
    c.messages.sendMessage(SendRequest(Target(user = null, group = group), "1", place(31.2304, 121.4737, "Shanghai")))
    for (wrong in listOf(Target(null, null), Target(bob, group))) {
        expect(refusal { c.messages.sendMessage(SendRequest(wrong, "2", text("x"))) } == "invalid_body", wrong)
    }

    val direct = c.messages.getHistory(alice, friendAccount = bob).`data`
    expect(direct.messages.map { it.body.kind to it.body.text } == listOf("text" to "hello"), direct)
    val inGroup = c.messages.getHistory(alice, groupID = group).`data`
    expect(inGroup.messages.map { it.body.kind } == listOf("notice", "location"), inGroup)
    expect(c.messages.getConversations(alice).`data`.conversations.size == 2, "the conversations")
    expect(c.messages.markRead(alice, 1, friendAccount = bob).`data`.read == 1L, "the mark")

    expect(c.accounts.getProfile(bob).`data`.sex == "female", "the profile")
    expect(c.accounts.updateProfile(ProfileChanges(age = 21)).`data`.age == 21, "the change")
    expect(c.accounts.findUsers("kotlin.b").`data`.map { it.account } == listOf(bob), "the search")
    expect(c.sessions.getSessions(alice).`data`.size == 1, "the sessions")
    expect(c.sessions.renewToken().`data`.expires > System.currentTimeMillis(), "the fresh token")
    c.sessions.userLogout()
}

fun meetTomorrow(server: String) {
    val c = Client(server)
    expect(refusal { c.logIn("alice", "123456") } == "not_yet_invented", "the reason")
    val (hologram, notice, hello) = c.messages.getHistory("alice", friendAccount = "bob").`data`.messages
    expect(hologram.body.kind == "hologram", hologram)
    expect(notice.body.event == "renamed", notice)
    expect(hello.body.text == "hello", hello)
}

fun main(args: Array<String>) {
    talk(args[0])
    meetTomorrow(args[1])
    println("""{"kotlin":"ok"}""")
    exitProcess(0) // without waiting for the pool of connections
}
