"""The questions (folders) of a run and their answers (files), packaged as regraft.conf."""
