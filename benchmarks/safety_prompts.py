"""Prompts of every kind that the check may meet at full length, the worst ones for it included."""

from __future__ import annotations

import random

LENGTH = 2000

ORDINARY = (
    "1girl, solo, long hair, blue eyes, school uniform, cherry blossoms, masterpiece, best quality, "
    "a quiet street in the evening with a cat on a wall, (detailed background:1.2), soft light, "
)
JAPANESE = "青い髪の女の子、桜の木の下、夕方の静かな通り、カロリーの高いケーキ、ゆるやかな風、"


def prompts(seed: int = 1) -> dict[str, str]:
    """Each kind by name."""
    rng = random.Random(seed)
    every = "".join(chr(code) for code in rng.sample(range(0x20, 0xD000), LENGTH))
    kinds = {
        "ordinary": ORDINARY,
        "japanese": JAPANESE,
        "every character": every,
        "single letters": "a b c d e f g h ",
        "letters and digits": "1a2b3c4d",
        "refused words": "nude child sex loli ",
        "refused words, split": "n.u d.e c-h i-l d ",
        "refused words, run together": "nudechildsexloli",
        "one term in another": "analsexanalsex anal sex ",
        "benign names": "dick tracy moby dick cum laude ",
        "ages": "14 yo 15 years age 9 1 ",
        "stars": "f*ck*s*x*",
        "entities": "&amp;amp;#110;",
        "weights": "((a:1.1)(b::1.2))",
        "open brackets": "(" * LENGTH,
        "marks": "a\u0301\u0302\u200b",
        "expanding characters": "\ufdfa\u3300ﬃ",
        "letters of other scripts": "аοеㅤ🇦🅱𝓬",
        "changing scripts": "ロriりa漢",
        "signs": "!a$b@c+",
        "spaces": " \u3000\t",
        "one letter": "o",
    }
    return {name: (text * (LENGTH // len(text) + 1))[:LENGTH] for name, text in kinds.items()}
