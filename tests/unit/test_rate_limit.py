from math import inf

from cluster_kit.rate_limit import KeyedRateLimit, RateLimit, TokenBucket


def test_a_bucket_allows_a_burst_and_then_its_rate():
    bucket = TokenBucket(per_s=2.0, burst=3)
    assert [bucket.take(0.0) for _ in range(4)] == [1, 1, 1, 0]
    assert [bucket.take(1.0) for _ in range(3)] == [1, 1, 0]


def test_a_bucket_that_is_full_stays_as_it_is():
    bucket = TokenBucket(per_s=2.0, burst=3)
    assert [bucket.take(1000.0) for _ in range(4)] == [1, 1, 1, 0]


def test_a_bucket_grants_a_part_of_what_is_wanted():
    bucket = TokenBucket(per_s=2.0, burst=10)
    assert bucket.take(0.0, wanted=4) == 4
    assert bucket.take(0.0, wanted=40) == 6
    assert bucket.take(0.4, wanted=40) == 0
    assert bucket.take(1.0, wanted=40) == 2


def test_keys_that_have_paid_for_all_are_forgotten():
    limit = KeyedRateLimit(1.0)
    for number in range(1000):
        limit.charge(f"key{number}", 10.0 * number)
    assert len(limit._paid_s) < 100


def test_room_is_what_is_left_of_the_burst():
    limit = RateLimit(2.0)
    paid_s = limit.charge(limit.charge(-inf, 10.0), 10.0)
    assert [limit.room(paid_s, now_s, 3) for now_s in (10.0, 11.9, 12.0, 14.0, 99.0)] == [
        1,
        1,
        2,
        3,
        3,
    ]
    assert limit.room(paid_s, 10.0, 1) == 0
