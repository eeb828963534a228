from tests.erasure_world import anonymizer, empty_world, world  # noqa: F401 - fixtures
