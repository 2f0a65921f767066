package command

// Data is what stands inside a command_result, typed (manual, the answers of the
// commands; JSON Schema: internal/schema/answer.schema.json).
//
// Names: the fields of cash units are XFS structures, and their keys are the XFS names
// as they stand in the XML (usNumber, ulCount): that is how the engineer of a bank
// knows them from the manual, from the terminal's logs and from the XFS specification,
// and with another name he would have to guess which field is meant (ulCashInCount and
// ulCount, usStatus and usPStatus are easily mixed up). Everything else has plain names
// in snake_case. Lists keep the order of the XML. Text is never trimmed.
//
// Nothing is lost: what has no field here, or not the form that its field wants, stands
// in Other, with the entry around it whole, so that it shows what it belongs to. An
// entry is a component, CimCashUnitInfo, CdmCashUnitInfo, NoteType, version or device;
// outside of those the child of command_result, and for its own attributes and text the
// command_result. The rest of such an entry is typed all the same.
type Data struct {
	Status       *Status       `json:"status,omitempty"`        // GET_STATUS
	CIMCashUnits []CIMCashUnit `json:"cim_cash_units,omitzero"` // GET_CASH_UNIT_INFO
	CDMCashUnits []CDMCashUnit `json:"cdm_cash_units,omitzero"` // GET_CASH_UNIT_INFO
	NoteTypes    *NoteTypes    `json:"note_types,omitempty"`    // GET_CIM_NOTETYPES
	Software     []Software    `json:"software,omitzero"`       // GET_DEVICE_INFO
	Hardware     []Hardware    `json:"hardware,omitzero"`       // GET_DEVICE_INFO
	Other        []string      `json:"other,omitempty"`         // XML, as it came
}

// Status is <status>: the state of a device.
type Status struct {
	DeviceName string      `json:"device_name"`
	Components []Component `json:"components"`
}

// Component is a part of a device. Code is the XFS code of its state; for the versions
// of ProATM 0 = known, 1 = not known.
type Component struct {
	Name        string `json:"name"`
	Code        int32  `json:"code"`
	Description string `json:"description"`
}

// CIMCashUnit is <CimCashUnitInfo>: a cassette of the device that takes cash. A field
// that did not come is absent.
type CIMCashUnit struct {
	Number         *uint16      `json:"usNumber,omitempty"`
	Type           *string      `json:"fwType,omitempty"`
	ItemType       *string      `json:"fwItemType,omitempty"`
	UnitID         *string      `json:"strUnitID,omitempty"`
	CurrencyID     *string      `json:"strCurrencyID,omitempty"`
	Values         *uint32      `json:"ulValues,omitempty"`
	CashInCount    *uint32      `json:"ulCashInCount,omitempty"`
	Count          *uint32      `json:"ulCount,omitempty"`
	Maximum        *uint32      `json:"ulMaximum,omitempty"`
	Status         *string      `json:"usStatus,omitempty"`
	AppLock        *bool        `json:"bAppLock,omitempty"`
	Notes          []Note       `json:"NoteNumberList,omitzero"`
	Physical       []PhysicalCU `json:"physicalCUList,omitzero"`
	CDMType        *uint16      `json:"usCDMType,omitempty"`
	Name           *string      `json:"strCashUnitName,omitempty"`
	InitialCount   *uint32      `json:"ulInitialCount,omitempty"`
	DispensedCount *uint32      `json:"ulDispensedCount,omitempty"`
	PresentedCount *uint32      `json:"ulPresentedCount,omitempty"`
	RetractedCount *uint32      `json:"ulRetractedCount,omitempty"`
	RejectCount    *uint32      `json:"ulRejectCount,omitempty"`
	Minimum        *uint32      `json:"ulMinimum,omitempty"`
}

// Note is how many notes of one type lie in a cassette.
type Note struct {
	NoteID *uint16 `json:"usNoteID,omitempty"`
	Count  *uint32 `json:"ulCount,omitempty"`
}

// CDMCashUnit is <CdmCashUnitInfo>: a cassette of the dispenser. A field that did not
// come is absent.
type CDMCashUnit struct {
	Number         *uint16      `json:"usNumber,omitempty"`
	Type           *string      `json:"usType,omitempty"`
	Name           *string      `json:"strCashUnitName,omitempty"`
	UnitID         *string      `json:"strUnitID,omitempty"`
	CurrencyID     *string      `json:"strCurrencyID,omitempty"`
	Values         *uint32      `json:"ulValues,omitempty"`
	InitialCount   *uint32      `json:"ulInitialCount,omitempty"`
	Count          *uint32      `json:"ulCount,omitempty"`
	RejectCount    *uint32      `json:"ulRejectCount,omitempty"`
	Minimum        *uint32      `json:"ulMinimum,omitempty"`
	Maximum        *uint32      `json:"ulMaximum,omitempty"`
	AppLock        *bool        `json:"bAppLock,omitempty"`
	Status         *string      `json:"usStatus,omitempty"`
	Physical       []PhysicalCU `json:"physicalCUList,omitzero"`
	DispensedCount *uint32      `json:"ulDispensedCount,omitempty"`
	PresentedCount *uint32      `json:"ulPresentedCount,omitempty"`
	RetractedCount *uint32      `json:"ulRetractedCount,omitempty"`
}

// PhysicalCU is a physical cassette, of CIM and CDM alike. Sensors is CIM's spelling in
// the manual, Sensor CDM's.
type PhysicalCU struct {
	PositionName   *string `json:"strPhysicalPositionName,omitempty"`
	UnitID         *string `json:"strUnitID,omitempty"`
	CashInCount    *uint32 `json:"ulCashInCount,omitempty"`
	InitialCount   *uint32 `json:"ulInitialCount,omitempty"`
	Count          *uint32 `json:"ulCount,omitempty"`
	RejectCount    *uint32 `json:"ulRejectCount,omitempty"`
	Maximum        *uint32 `json:"ulMaximum,omitempty"`
	Status         *string `json:"usPStatus,omitempty"`
	Sensors        *bool   `json:"bHardwareSensors,omitempty"`
	Sensor         *bool   `json:"bHardwareSensor,omitempty"`
	DispensedCount *uint32 `json:"ulDispensedCount,omitempty"`
	PresentedCount *uint32 `json:"ulPresentedCount,omitempty"`
	RetractedCount *uint32 `json:"ulRetractedCount,omitempty"`
}

// NoteTypes is <CimNoteTypes>: the notes that a device takes.
type NoteTypes struct {
	DeviceName string     `json:"device_name"`
	Types      []NoteType `json:"types"`
}

// NoteType is a note: its XFS number, value and currency.
type NoteType struct {
	ID       uint16 `json:"id"`
	Value    uint32 `json:"value"`
	Currency string `json:"currency"`
}

// Software is a program with its version, which may be "unknown".
type Software struct {
	Product string `json:"product"` // proatm, xfs, customization
	Version string `json:"version"`
}

// Hardware is a device with what its driver tells of it.
type Hardware struct {
	Class         string  `json:"class"` // CIM, PIN
	ServiceName   *string `json:"service_name,omitempty"`
	Model         string  `json:"model"`
	SPVersion     *string `json:"sp_version,omitempty"`
	SerialNumbers []Typed `json:"serial_numbers,omitempty"`
	Firmware      []Typed `json:"firmware,omitempty"`
}

// Typed is a value of a named kind, such as a serial number.
type Typed struct {
	Type  string `json:"type"`
	Value string `json:"value"`
}
