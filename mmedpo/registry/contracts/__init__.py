"""The contracts: what a plugin implements, a module a kind; `part` and `setting` are what every kind stands on."""
