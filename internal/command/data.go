package command

// Data is what stands inside a command_result, typed (manual, the answers of the
// commands). JSON Schema: internal/schema/answer.schema.json.
type Data struct {
	// Other are elements that are not known, or not as the manual has them: XML, as it came.
	Other []string `json:"other,omitempty"`
}
