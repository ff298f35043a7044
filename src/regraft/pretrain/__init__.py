"""Weights before the training with labels: learned from images without them, or from formulas."""

from regraft.pretrain.export import ExportTrunk as ExportTrunk
from regraft.pretrain.fractals import Fractals as Fractals
from regraft.pretrain.layerwise import Layerwise as Layerwise
from regraft.pretrain.rbm import RBM as RBM
from regraft.pretrain.simclr import SimCLR as SimCLR
