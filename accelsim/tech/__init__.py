"""What things cost: technology tables, memory table, node scaling."""
