"""LiteLLM's real proxy with our callback and our own gateway, on one store and before one model server."""

import json
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from openai import OpenAI

from gateway_tuning.storage.database import open_database
from gateway_tuning.storage.tables import canaries
from tests.unit.gateway.conftest import Gateway, ModelServer, Registry, wait_until
from tests.wire import litellm

CALLBACK = "gateway_tuning.bridges.litellm.instance"
SHARE = 0.3
# Another callback that thinks it knows better.
REWRITER = """
from litellm.integrations.custom_logger import CustomLogger


class Rewriter(CustomLogger):
    async def async_pre_call_hook(self, user_api_key_dict, cache, data, call_type):
        if data["model"] == "served-mixed":
            data["model"] = "served-v1"
        return data


instance = Rewriter()
"""
STABLE = {
    "assistant": ("v1", "served-v1"),
    "lonely": ("lonely-1", "served-lonely"),
    "twins": ("twin-1", "twin-a"),
    "mixed": ("mixed-1", "served-mixed"),
    "failing": ("failing-1", "served-500"),
    "cut": ("cut-1", "served-break"),
    "pausing": ("pausing-1", "served-pause"),
    "bypassed": ("bypassed-1", "served-bypassed"),
    "moving": ("moving-1", "served-moving"),
}
CANDIDATES = {
    "assistant": ("v2", "served-v2"),
    "lonely": ("lonely-2", "nowhere-2"),
    "twins": ("twin-2", "twin-b"),
    "moving": ("moving-2", "served-moved"),
}


def model(name, served, base_url):
    params = {"model": f"openai/{served}", "api_base": base_url, "api_key": "unused"}
    return {"model_name": name, "litellm_params": params}


def config(base_url, **litellm_settings):
    names = ["served-*", "served-v1"]  # what stands alone goes before the pattern
    named = {"twin-a": "served-twin", "twin-b": "served-twin", "bypassed": "served-bypassed"}
    return {
        "model_list": [model(name, name, base_url) for name in names]
        + [model(name, served, base_url) for name, served in named.items()],
        "litellm_settings": {"drop_params": False, **litellm_settings},
        # What must not happen, asked for: the callback takes these back.
        "router_settings": {
            "num_retries": 2,
            "fallbacks": [{"served-500": ["served-v1"]}],
        },
    }


class Upstream(ModelServer):
    """Behaves in one more way: the connection of a stream breaks after its first event."""

    async def _events(self, body, behaviour):
        async for part in super()._events(body, behaviour):
            yield part
            if behaviour == "break" and part.endswith(b"\n\n"):
                raise ConnectionError("the test breaks this stream")


class World:
    """A store with models and canaries, the server of their versions, and ways to ask."""

    def __init__(self, folder):
        self.folder = folder
        self.upstream = Upstream()
        self.database_url = f"sqlite:///{folder / 'store.db'}"
        self.engine = open_database(self.database_url)
        self.registry = Registry(self.engine, self.upstream.base_url)
        for name, (version, served) in STABLE.items():
            # Whom LiteLLM asks is its own affair: only our gateway goes by the registry's address.
            address = None if name == "assistant" else "https://models.example.com/v1"
            self.registry.serve(version, served, base_url=address)
            self.registry.point(name, version)
        for name, (version, served) in CANDIDATES.items():
            self.registry.serve(version, served)
            self.start_canary(name, version)

    def start_canary(self, name, candidate):
        now = datetime.now(UTC)
        row = {
            "id": f"canary-{name}",
            "tenant": "default",
            "model": name,
            "candidate": candidate,
            "policy": {},
        }
        times = {"started_at": now, "stage_started_at": now}
        state = {
            "salt": f"salt-{name}",
            "state": "running",
            "stage": 0,
            "share": SHARE,
            "looks": 0,
            "reasons": [],
        }
        with self.engine.begin() as connection:
            connection.execute(sa.insert(canaries).values(**row, **times, **state, control=STABLE[name][0]))

    def end_canary(self, name):
        with self.engine.begin() as connection:
            rows = canaries.c.id == f"canary-{name}"
            connection.execute(sa.update(canaries).where(rows).values(state="rolled_back", share=0.0))

    def outcomes(self, name, count):
        """All of one model, once there are `count`."""

        def read():
            return [row for row in self.registry.outcomes() if row.model == name]

        wait_until(lambda: len(read()) >= count)
        return read()

    def stop(self):
        self.engine.dispose()
        self.upstream.stop()


class Caller:
    """Asks one proxy or gateway."""

    def __init__(self, url):
        self.url = url
        self.client = OpenAI(base_url=f"{url}/v1", api_key=litellm.MASTER_KEY, max_retries=0, timeout=30)

    def ask(self, model, user=None, **options):
        """The raw response, whose headers tell the version and the answer's id."""
        messages = [{"role": "user", "content": "Where is my order?"}]
        named = {} if user is None else {"user": user}
        return self.client.chat.completions.with_raw_response.create(
            model=model, messages=messages, **named, **options
        )

    def versions(self, model, users):
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda user: self.ask(model, user), users))
        return [answer.headers["x-gateway-model-version"] for answer in answers]

    def status(self):
        with urllib.request.urlopen(f"{self.url}/gateway-tuning/routes", timeout=10) as response:
            return json.load(response)


@pytest.fixture(scope="module")
def litellm_installed():
    if not litellm.PYTHON.exists():
        pytest.skip("LiteLLM's proxy is not installed: `make litellm`")


@pytest.fixture(scope="module")
def world(tmp_path_factory, litellm_installed):
    world = World(tmp_path_factory.mktemp("litellm"))
    yield world
    world.stop()


@pytest.fixture(scope="module")
def misplaced(world):
    """Another proxy, whose callback stands in the wrong list and whose clients' model has one deployment for all.

    It may still be starting, beside the first one.
    """
    settings = config(world.upstream.base_url, success_callback=[CALLBACK])
    settings["model_list"].append({**settings["model_list"][1], "model_name": "assistant"})
    env = {"GATEWAY_TUNING_DATABASE_URL": world.database_url}
    with litellm.running_litellm(settings, world.folder / "misplaced", env=env, wait=False) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def proxy(world, misplaced):
    folder = world.folder / "proxy"
    folder.mkdir()
    (folder / "rewriter.py").write_text(REWRITER)
    with litellm.running_litellm(
        config(world.upstream.base_url, callbacks=[CALLBACK, "rewriter.instance"]),
        folder,
        env={"GATEWAY_TUNING_DATABASE_URL": world.database_url},
    ) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def bridged(proxy):
    caller = Caller(proxy.url)
    yield caller
    caller.client.close()


@pytest.fixture(scope="module")
def ours(world):
    gateway = Gateway(world.engine)
    caller = Caller(gateway.url)
    yield caller
    caller.client.close()
    gateway.stop()
