from .checks.check import PartCheck as PartCheck
from .packages import fake_package as fake_package
from .part_check import check_part as check_part
from .part_check import examine_part as examine_part
from .tiny import tiny_cases as tiny_cases
from .tiny import tiny_pairs as tiny_pairs
from .tiny_backbone import TinyBackbone as TinyBackbone
from .tiny_batch import tiny_batch as tiny_batch
