"""What `bench/compare` is made of. Standard library only; Linux, for it reads /proc."""
