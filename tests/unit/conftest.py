"""Its being here puts this folder on the import path: tests of several packages share the helpers beside it."""
