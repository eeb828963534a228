"""Amazon Bedrock: the provider, families of base models, the account, training data on S3, and serving."""
