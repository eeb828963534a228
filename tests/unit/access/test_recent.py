from gateway_tuning.access.recent import Recent


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_an_entry_is_known_for_its_seconds_and_afterwards_only_as_a_stale_one():
    clock = Clock()
    memory = Recent(5.0, 10, clock)
    memory.put("a", 1)

    clock.now = 4.9
    fresh = memory.get("a")
    clock.now = 5.0

    assert fresh == 1
    assert memory.get("a") is None
    assert memory.get_stale("a") == 1


def test_the_memory_is_bounded_and_the_oldest_entry_goes_first():
    memory = Recent(5.0, 3, Clock())
    for number in range(5):
        memory.put(number, number)

    assert len(memory) == 3
    assert [memory.get(number) for number in range(5)] == [None, None, 2, 3, 4]


def test_what_is_forgotten_is_not_even_stale():
    memory = Recent(5.0, 3, Clock())
    memory.put("a", 1)

    memory.forget("a")

    assert memory.get_stale("a") is None
