from .loss_check import tiny_batch as tiny_batch
from .packages import fake_package as fake_package
from .part_check import check_part as check_part
from .tiny import TinyBackbone as TinyBackbone
from .tiny import tiny_cases as tiny_cases
from .tiny import tiny_pairs as tiny_pairs
