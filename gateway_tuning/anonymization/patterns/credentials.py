"""Keys, tokens, passwords and account names. Pure."""

import math
import re
from collections import Counter
from collections.abc import Callable

from gateway_tuning.anonymization.patterns.pattern import Pattern

_MIN_ENTROPY = 3.0  # bits a character: English words of 16 letters and more stay below it, random keys above
_PLAIN_WORDS = frozenset(
    """
    true false none null nil required optional string str int bool boolean undefined empty reset forgotten
    incorrect wrong invalid expired manager protected field policy change changed here there again yes not
    authentication authorization based and or the is are for from with your our this that a an it in on to
    admin root guest test user username login password name broken
    """.split()  # noqa: SIM905 - a hundred quotes hide the words
)


_CODE = re.compile(r"[<$]|\{\{|%\(|[A-Za-z_][\w.]*[(\[]")  # a place holder, a call, an access
_NO_HANDLES = frozenset(
    """
    @dataclass @property @staticmethod @classmethod @override @abstractmethod @test @media @import @charset
    @keyframes @supports @param @return @returns @throws @deprecated @author @see @todo @types @here
    @channel @everyone @all @latest @next @app @pytest @component @injectable @bean @autowired @entity
    @controller @service @task @flow @cached @babel @angular @vue @main @master @home @work @gmail
    """.split()  # noqa: SIM905 - a hundred quotes hide the words
)


def entropy(value: str) -> float:
    """Shannon entropy in bits a character."""
    return -sum(n / len(value) * math.log2(n / len(value)) for n in Counter(value).values())


def _looks_random(value: str) -> bool:
    kinds = sum(
        any(test(character) for character in value) for test in (str.islower, str.isupper, str.isdigit)
    )
    return kinds >= 2 and entropy(value) >= _MIN_ENTROPY  # noqa: PLR2004 - two kinds of characters


def _is_a_password(value: str) -> bool:
    bare = value.strip("\"'`.,;")
    return bool(bare) and bare.lower() not in _PLAIN_WORDS and not _CODE.match(bare)


def _is_no_plain_word(value: str) -> bool:
    """After "password is" and "token:" anything may follow, so a word alone does not do."""
    return _is_a_password(value) and any(not character.isalpha() for character in value.strip("\"'`.,;"))


def _is_an_account_name(value: str) -> bool:
    return value.lower().strip(".") not in _PLAIN_WORDS


def _has_a_mark(value: str) -> bool:
    return any(character.isdigit() or character in "._-@" for character in value)


def _pattern(expression: str, needs: tuple[str, ...], *, digits: int = 0) -> Pattern:
    return Pattern("SECRET", re.compile(rf"(?<![\w-]){expression}(?![\w-])"), 0.95, needs, digits)


_ISSUED = (  # the forms that issuers document
    _pattern("(?:AKIA|ASIA|AGPA|AIDA|AROA|ANPA|ABIA|ACCA)[A-Z0-9]{16}", ("akia", "asia", "agpa", "aida", "aroa", "anpa", "abia", "acca")),
    _pattern("(?:gh[pousr]_[A-Za-z0-9]{30,255}|github_pat_[A-Za-z0-9_]{22,255})", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_")),
    _pattern("glpat-[A-Za-z0-9_-]{20,64}", ("glpat-",)),
    _pattern("xox[abeoprs]-[A-Za-z0-9-]{10,255}", ("xox",)),
    _pattern("xapp-[0-9]-[A-Za-z0-9-]{10,255}", ("xapp-",)),
    _pattern("sk-[A-Za-z0-9_-]{20,255}", ("sk-",)),
    _pattern("(?:sk|pk|rk)_(?:live|test)_[A-Za-z0-9]{10,255}", ("_live_", "_test_")),
    _pattern("whsec_[A-Za-z0-9+/=]{16,255}", ("whsec_",)),
    _pattern("AIza[A-Za-z0-9_-]{30,60}", ("aiza",)),
    _pattern(r"ya29\.[A-Za-z0-9_-]{20,512}", ("ya29.",)),
    _pattern(r"SG\.[A-Za-z0-9_-]{16,64}\.[A-Za-z0-9_-]{16,64}", ("sg.",)),
    _pattern("(?:hf|npm|dop_v1|pypi|shpat|gsk|r8)_[A-Za-z0-9_-]{20,255}", ("hf_", "npm_", "dop_v1_", "pypi_", "shpat_", "gsk_", "r8_")),
    _pattern("pypi-[A-Za-z0-9_-]{20,512}", ("pypi-",)),
    _pattern("SK[0-9a-f]{32}", ("sk",), digits=1),
    _pattern(r"[0-9]{8,10}:AA[A-Za-z0-9_-]{33}", (":aa",), digits=8),
    _pattern(r"eyJ[A-Za-z0-9_-]{8,4096}\.[A-Za-z0-9_-]{4,8192}(?:\.[A-Za-z0-9_-]{0,1024})?", ("eyj",)),
    Pattern(
        "SECRET",
        re.compile(r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----[^-]{0,20000}(?:-----END [A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----)?"),
        1.0,
        ("private key",),
    ),
)  # fmt: skip

_PASSWORD_WORD = (
    r"(?:pass(?:word|wd|phrase|code)|passwort|kennwort|mot de passe|contraseña|wachtwoord|senha|pwd)"  # noqa: S105 - an expression
)
_PASSWORD_NEEDS = ("pass", "kennwort", "mot de passe", "contraseña", "wachtwoord", "senha", "pwd")
_KEY_WORD = (
    r"(?:(?:api|access|secret|private|auth|account|client|encryption|signing|subscription)[ _-]?(?:key|token|secret)"
    r"|secret|token|credentials?)"
)
_KEY_NEEDS = (
    "api", "access", "secret", "private", "auth", "account", "client", "encryption", "signing", "subscription", "token",
    "credential",
)  # fmt: skip
_ASSIGNED = r"[\"'`]?(?: ?[:=]{1,2}>? ?)[\"'`]?(?P<value>[^\s\"'`,;<>]{4,512})"
_SPOKEN = r" (?:is|was|to|ist|est|es|è|=)[ :]{1,3}[\"'`]?(?P<value>[^\s\"'`,;<>]{4,512}?)(?=[.!?]?(?:[\s\"'`,;<>]|$))"
_LATER = r"[^\n\w]{1,4}(?:\w{1,12}[ :]{1,2}){0,3}[\"'`]?(?P<value>[A-Za-z0-9+/_=-]{16,512})"


def _named(words: str, rest: str, needs: tuple[str, ...], check: Callable[[str], bool]) -> Pattern:
    return Pattern("SECRET", re.compile(rf"(?i){words}{rest}"), 0.8, needs, check=check, anchored=True)


_NAMED = (
    _named(_PASSWORD_WORD, _ASSIGNED, _PASSWORD_NEEDS, _is_a_password),
    _named(_PASSWORD_WORD, _SPOKEN, _PASSWORD_NEEDS, _is_no_plain_word),
    _named(_KEY_WORD, _ASSIGNED, _KEY_NEEDS, _is_no_plain_word),
    _named(_KEY_WORD, _SPOKEN, _KEY_NEEDS, _is_no_plain_word),
    _named(rf"(?:{_PASSWORD_WORD}|{_KEY_WORD})", _LATER, (*_PASSWORD_NEEDS, *_KEY_NEEDS), _looks_random),
    Pattern(
        "SECRET",
        re.compile(r"(?i)\b(?:bearer|basic|token) (?P<value>[A-Za-z0-9+/_.~=-]{16,4096})"),
        0.8,
        ("bearer", "basic ", "token "),
        check=_looks_random,
        anchored=True,
    ),
    Pattern(
        "SECRET",
        re.compile(r"(?i)[?&](?:[a-z_-]{0,20}(?:token|key|secret|signature|password)|sig|auth|code|session(?:id)?|sid)=(?P<value>[^\s&#\"'<>]{4,2048})"),
        0.8,
        ("?", "&"),
    ),
    Pattern("SECRET", re.compile(r"\b[a-z][a-z0-9+.-]{1,20}://(?P<value>[^\s/@:]{1,64}:[^\s/@]{1,128})@"), 0.9, ("://",)),
)  # fmt: skip

_USER_WORD = (
    r"(?:user(?:[ _-]?(?:name|id))?|log[ -]?in(?: name| id)?|account name|screen ?name|nick(?:name)?|handle|benutzername"
    r"|nom d['\u2019]utilisateur|nombre de usuario|usuario|gebruikersnaam|nome utente|skype|telegram|instagram|twitter"
    r"|github|discord|insta)"
)
_USER_NEEDS = (
    "user", "login", "log-in", "log in", "account name", "screen", "nick", "handle", "benutzername", "nom d", "nombre de",
    "usuario", "gebruikersnaam", "nome utente", "skype", "telegram", "insta", "twitter", "github", "discord",
)  # fmt: skip

_ACCOUNTS = (
    Pattern(
        "USERNAME", re.compile(r"(?<![\w@./:+-])@[A-Za-z_]\w{0,38}(?:[.-]\w{1,38}){0,3}(?!\w|[.-]\w|[@/(\[])"), 0.6, ("@",), check=lambda value: value.lower() not in _NO_HANDLES
    ),
    Pattern("USERNAME", re.compile(r"(?<!\w)u/[A-Za-z0-9_-]{3,20}(?![\w/])"), 0.6, ("u/",)),
    Pattern(
        "USERNAME",
        re.compile(rf"(?i)\b{_USER_WORD}\b[\"'`]?(?: (?:is|ist|est|es))? ?[:=] ?[\"'`]?(?P<value>@?[A-Za-z0-9][\w.-]{{1,62}}\w)(?![\w:@(/])"),
        0.6,
        _USER_NEEDS,
        check=lambda value: _is_an_account_name(value) and (any(not c.isalpha() for c in value) or not value.istitle()),
        anchored=True,
    ),
    Pattern(
        "USERNAME",
        re.compile(rf"(?i)\b{_USER_WORD} (?:is|ist|est|es|name) [\"'`]?(?P<value>@?[A-Za-z0-9][\w.-]{{1,62}}\w)(?![\w:@(/])"),
        0.6,
        _USER_NEEDS,
        check=_has_a_mark,
        anchored=True,
    ),
    Pattern(
        "USERNAME",
        re.compile(r"(?i)(?:logged? in as|log in as|sign(?:ed)? in as|my (?:user ?name|login|handle|account)) (?:is )?[\"'`]?(?P<value>[A-Za-z0-9][\w.-]{1,62}\w)(?![\w@])"),
        0.6,
        ("log", "sign", "my "),
        anchored=True,
        check=_has_a_mark,
    ),
    Pattern("USERNAME", re.compile(r"(?:/home/|/Users/|C:\\Users\\)(?P<value>[A-Za-z0-9_.-]{2,32})"), 0.6, ("/home/", "users")),
    Pattern(
        "USERNAME",
        re.compile(r"(?i)(?<![\w.])(?:www\.)?(?:github|twitter|instagram|facebook|linkedin|t|tiktok)\.(?:com|me)/(?:in/|@)?(?P<value>[A-Za-z0-9_.-]{2,40})(?![\w/?.-])"),
        0.5,
        (".com/", ".me/"),
    ),
)  # fmt: skip

CREDENTIAL_PATTERNS = (*_ISSUED, *_NAMED, *_ACCOUNTS)
