"""The ports over Redis or Valkey, for replicas that share one store."""
