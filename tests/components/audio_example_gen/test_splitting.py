"""Properties of the split by speaker, for any set of recordings."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from components.audio_example_gen.recordings import Recording
from components.audio_example_gen.splitting import Splitting, assign, split_of
from components.examples import SPLITS

SPEAKERS = st.text("0123456789abcdef", min_size=1, max_size=8)
# The anchors are one speaker for each split of seed 0, so that no split is empty.
ANCHORS = [
    next(f"anchor{i}" for i in range(1000) if split_of(f"anchor{i}", {**s}, 0) == split)
    for s in [{"train": 0.8, "validation": 0.1, "test": 0.1}]
    for split in SPLITS
]
RECORDINGS = st.lists(
    st.builds(
        lambda speaker, word, take: Recording(word, f"{speaker}_nohash_{take}.wav", ""),
        st.one_of(SPEAKERS, st.sampled_from(ANCHORS)),
        st.sampled_from(["no", "yes", "up"]),
        st.integers(0, 5),
    ),
    unique_by=lambda recording: recording.path,
    max_size=60,
).map(lambda drawn: [*drawn, *(Recording("down", f"{name}_nohash_0.wav", "") for name in ANCHORS)])


def split_by_path(recordings: list[Recording]) -> dict[str, str]:
    splits = assign(recordings, Splitting(), seed=0)
    return {r.path: split for split, chosen in splits.items() for r in chosen}


@given(RECORDINGS)
def test_no_speaker_is_in_two_splits_and_no_recording_is_lost(recordings) -> None:
    splits = assign(recordings, Splitting(), seed=0)
    speakers = [{r.speaker for r in chosen} for chosen in splits.values()]
    assert sum(map(len, speakers)) == len(set().union(*speakers))
    assert sorted(r.path for chosen in splits.values() for r in chosen) == sorted(
        r.path for r in recordings
    )


@given(RECORDINGS, RECORDINGS)
def test_more_recordings_move_nobody(recordings, more) -> None:
    before = split_by_path(recordings)
    known = {r.path for r in recordings}
    after = split_by_path(recordings + [r for r in more if r.path not in known])
    assert {path: after[path] for path in before} == before


@given(RECORDINGS, st.randoms())
def test_the_order_of_recordings_does_not_matter(recordings, random) -> None:
    shuffled = list(recordings)
    random.shuffle(shuffled)
    assert split_by_path(shuffled) == split_by_path(recordings)


def test_shares_are_kept() -> None:
    shares = {"train": 0.7, "validation": 0.2, "test": 0.1}
    counts = dict.fromkeys(SPLITS, 0)
    for index in range(20_000):
        counts[split_of(f"speaker{index}", shares, 5)] += 1
    for split, share in shares.items():
        assert abs(counts[split] / 20_000 - share) < 0.01


def test_another_seed_is_another_split() -> None:
    shares = {"train": 0.5, "validation": 0.25, "test": 0.25}
    names = [f"speaker{index}" for index in range(100)]
    first, second = ([split_of(name, shares, seed) for name in names] for seed in (1, 2))
    assert first != second


def test_the_speaker_comes_from_the_file_name() -> None:
    names = {
        "8012c69d_nohash_3.wav": "8012c69d",
        "anna_02.wav": "anna",
        "take7.wav": "take7",
        "_odd.wav": "_odd",
    }
    for file, speaker in names.items():
        assert Recording("yes", file, "").speaker == speaker
