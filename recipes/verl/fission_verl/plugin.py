"""What verl imports when it is imported itself (entry point `verl.plugins`): registers the trainer `fission_sync`."""

from fission_verl import trainer as trainer
